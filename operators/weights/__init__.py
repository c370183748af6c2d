"""Checkpoint files as named tensors, and the recipe of the random ones."""
