"""Parses for tests where no parser is installed: well formed, and rich in the words that R looks at."""

from __future__ import annotations

from typing import Any

LINKS = {"on", "in", "of", "at", "by", "to", "from", "with", "behind", "between", "above", "below", "held"}


def parse(text: str) -> dict[str, Any]:
    """Parse an expression: linking words hang on what is before them, noun chunks on the link before them."""
    tokens = text.lower().split()
    chunks: list[tuple[int, int]] = []
    for position, token in enumerate(tokens):
        if token in LINKS:
            continue
        if chunks and chunks[-1][1] == position:
            chunks[-1] = (chunks[-1][0], position + 1)
        else:
            chunks.append((position, position + 1))
    noun_of = {i: end - 1 for start, end in chunks for i in range(start, end)}
    root = next(iter(noun_of.values()), 0)
    heads, above = [], root
    for position in range(len(tokens)):
        noun = noun_of.get(position)
        if noun is not None and noun != position:
            heads.append(noun)
            continue
        heads.append(above if position != root else root)
        above = position if position > root else root
    return {
        "parser": "test",
        "tokens": tokens,
        "heads": heads,
        "deps": ["dep"] * len(tokens),
        "noun_chunks": [{"start": start, "end": end} for start, end in chunks],
    }
