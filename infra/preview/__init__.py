"""One image: what a preview is asked for, and how similar regions and texts are."""
