"""SEGMENT: SAM turns boxes, points or a grid into masks."""
