"""A prepared dataset on disk."""
