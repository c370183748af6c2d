"""One file a dataset, or a family that shares its files: its card and its layouts."""
