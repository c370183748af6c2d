"""Reports: what a finished run left behind, read once for the sections of the page."""
