"""Drawn scenes: coloured shapes and expressions about them, all of it known exactly.

`layout` decides what is where, `painting` makes the picture and the masks, `wording` the expressions with
their parses, `dataset` the image rows. Everything follows from a seed.
"""
