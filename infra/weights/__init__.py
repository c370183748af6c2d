"""Checkpoints: named, fetched once a node, checked before anything loads them."""
