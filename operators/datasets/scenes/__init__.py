"""Synthetic referring expressions: pictures of coloured shapes with everything about them known exactly.

`layout` decides what is where, `painting` makes the picture and the masks, `wording` the expressions with
their parses, `dataset` the image rows. Everything follows from a seed.
"""
