"""PICTURES for people: galleries, figures, attention, heat maps."""
