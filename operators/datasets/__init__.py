"""Annotation files of referring-expression datasets, read into image rows."""
