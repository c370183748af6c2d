"""One file a dataset, or a family that shares its files: a card, and which layouts it is read from."""
