"""The published splits of RefCOCO, RefCOCO+ and RefCOCOg and their sizes."""

from __future__ import annotations

from typing import NamedTuple


class SplitSize(NamedTuple):
    """How many images, references (objects) and expressions (sentences) a split has."""

    images: int
    refs: int
    expressions: int


# Expressions: rec_scoring spec section 1. Images and references: FALIP, Table 7.
PUBLISHED: dict[str, dict[str, SplitSize]] = {
    "refcoco": {
        "val": SplitSize(1500, 3811, 10834),
        "testA": SplitSize(750, 1975, 5657),
        "testB": SplitSize(750, 1810, 5095),
    },
    "refcoco+": {
        "val": SplitSize(1500, 3805, 10758),
        "testA": SplitSize(750, 1975, 5726),
        "testB": SplitSize(750, 1798, 4889),
    },
    "refcocog": {
        "val": SplitSize(1300, 2573, 4896),
        "test": SplitSize(2600, 5023, 9602),
    },
}
REFER_PICKLE = {"refcoco": "refs(unc).p", "refcoco+": "refs(unc).p", "refcocog": "refs(umd).p"}


def belongs_to_split(ref_split: str, split: str) -> bool:
    """Apply REFER's split rule to the split string of a reference.

    testA and testB match when their last letter occurs in it, `test` when it contains "test", others when
    equal (rec_scoring spec section 2.2).
    """
    if split in ("testA", "testB"):
        return split[-1] in ref_split
    if split == "test":
        return "test" in ref_split
    return ref_split == split
