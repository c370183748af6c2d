"""One file a family, one function a drawing. To add one, put a file here."""
