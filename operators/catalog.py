"""The published methods under stable names."""

from __future__ import annotations

from difflib import get_close_matches

from operators.method import Method, baseline
from operators.variants import MaskSource

# Identical scores: the first candidate wins. FALIP Table 6, "No mask".
FIRST_BOX = Method(name="first-box")
NAMED = {FIRST_BOX.name: FIRST_BOX}


def find_method(text: str, mask_source: MaskSource = "box") -> Method:
    """Return a catalogued method by name, or make one from paper notation.

    Raises:
        ValueError: naming the nearest methods and drawings.
    """
    if text in NAMED:
        return NAMED[text]
    try:
        return baseline(text, mask_source)
    except ValueError as problem:
        near = get_close_matches(text, NAMED, n=3, cutoff=0.5)
        raise ValueError(f"{problem}" + (f"; or the method {', '.join(near)}" if near else "")) from problem
