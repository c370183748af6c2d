"""Hand-made parses for tests."""

from __future__ import annotations


def parse(text: str, heads: list[int], *chunks: tuple[int, int]) -> dict:
    """Make a parse of words separated by spaces."""
    words = text.split()
    return {
        "parser": "by hand",
        "tokens": words,
        "heads": heads,
        "deps": [""] * len(words),
        "noun_chunks": [{"start": start, "end": end} for start, end in chunks],
    }


# Traces of rec_scoring spec section 10.2.
ON_THE_LEFT = parse("man on the left", [0, 0, 3, 1], (0, 1), (2, 4))
LEFT_OF = parse("man to the left of the woman", [0, 0, 3, 1, 3, 6, 4], (0, 1), (2, 4), (5, 7))
BIGGEST = parse("biggest cow behind the fence", [1, 1, 1, 4, 2], (0, 2), (3, 5))
RIGHT_SIDE = parse("the right side of the pizza", [2, 2, 2, 2, 5, 3], (0, 3), (4, 6))
STANDING = parse("standing on left", [0, 0, 1], (2, 3))
IN_SHIRT = parse("woman in red shirt behind a car", [0, 0, 3, 1, 0, 6, 4], (0, 1), (2, 4), (5, 7))
WITH_HAT_WITH_BAG = parse("left man with hat with bag", [1, 1, 1, 2, 1, 4], (0, 2), (3, 4), (5, 6))
BETWEEN = parse("bird between the cat and the dog left", [0, 0, 3, 1, 3, 6, 3, 0], (0, 1), (2, 4), (5, 7))
BETWEEN_TWO = parse("left bird between two dogs", [1, 1, 1, 4, 2], (0, 2), (3, 5))
PLAIN = parse("woman in red shirt", [0, 0, 3, 1], (0, 1), (2, 4))
SHORT_LEFT_OF = parse("man left of dog", [0, 0, 1, 2], (0, 1), (3, 4))
