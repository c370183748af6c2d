"""REPORT: the page of a run, one HTML file."""
