"""TABLES: from predictions to accuracies with intervals, beside the published numbers."""
