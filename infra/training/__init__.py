"""Training: the loop that a Ray Train worker runs."""
