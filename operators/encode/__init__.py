"""ENCODE: what is drawn becomes CLIP's vectors, and texts too."""
