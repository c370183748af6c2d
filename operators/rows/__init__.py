"""What rows are written in: schemas, fingerprints, registries, vectors."""
