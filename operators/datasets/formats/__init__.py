"""File formats of annotations, each read without executing anything in it."""
