"""Speed: the same work by this project and by a straightforward program, with equal answers."""
