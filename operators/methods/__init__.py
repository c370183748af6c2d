"""What is to be computed, as frozen values: drawings, methods, products, the catalogue."""
