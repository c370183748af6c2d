"""Pictures for people: galleries, figures, attention, heat maps."""
