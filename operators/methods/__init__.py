"""What is to be computed, as frozen values: drawings, methods, models, products, the catalogue."""
