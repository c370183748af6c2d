"""The report: a finished run read once for the sections of its page."""
