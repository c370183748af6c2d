"""What one row is made of: schemas, fingerprints, vectors."""
