"""Keyword lists of the relation engine, matched with whole tokens (rec_scoring spec section 10.1).

In every table the first row that any token hits decides.
"""

from __future__ import annotations

from typing import Literal

Predicate = Literal["left_of", "right_of", "above", "below", "bigger", "smaller", "inside"]
Row = tuple[frozenset[str], Predicate]


def _row(words: str, predicate: Predicate) -> Row:
    return frozenset(words.split()), predicate


RELATIONS: tuple[Row, ...] = (
    _row("left west", "left_of"),
    _row("right east", "right_of"),
    _row("above north top back behind", "above"),
    _row("below south under front", "below"),
    _row("bigger larger closer", "bigger"),
    _row("smaller tinier further", "smaller"),
    _row("inside within contained", "inside"),
)
SUPERLATIVES: tuple[Row, ...] = (
    _row("left west leftmost western", "left_of"),
    _row("right rightmost east eastern", "right_of"),
    _row("above north top", "above"),
    _row("below south underneath front", "below"),
    _row("bigger biggest larger largest closer closest", "bigger"),
    _row("smaller smallest tinier tiniest further furthest", "smaller"),
)
NULL_WORDS = frozenset({"part", "image", "side", "picture", "half", "region", "section"})
BETWEEN = frozenset({"between"})
