"""PREPARE: annotation files become image rows; what datasets there are."""
