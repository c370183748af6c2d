"""Expressions built together with their parse: tokens, heads and noun chunks of a dependency parser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PARSER = "scenes"


class Sentence:
    """An expression under construction. Words are added left to right; the first noun is the root."""

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._heads: list[int] = []
        self._deps: list[str] = []
        self._chunks: list[dict[str, int]] = []

    def noun_phrase(self, words: Sequence[str], parent: int | None = None) -> int:
        """Add a noun chunk, its noun last, below a preposition; return the noun's position."""
        start = len(self._tokens)
        noun = start + len(words) - 1
        for position, word in enumerate(words[:-1], start=start):
            self._add(word, noun, "det" if word in ("the", "a") and position == start else "amod")
        self._add(words[-1], noun if parent is None else parent, "ROOT" if parent is None else "pobj")
        self._chunks.append({"start": start, "end": noun + 1})
        return noun

    def word(self, word: str, parent: int, dependency: str = "prep") -> int:
        """Add a word outside noun chunks; return its position."""
        self._add(word, parent, dependency)
        return len(self._tokens) - 1

    def _add(self, word: str, head: int, dependency: str) -> None:
        self._tokens.append(word)
        self._heads.append(head)
        self._deps.append(dependency)

    @property
    def text(self) -> str:
        """Return the expression."""
        return " ".join(self._tokens)

    @property
    def parse(self) -> dict[str, Any]:
        """Return the parse as `operators.rows.records.PARSE`."""
        return {
            "parser": PARSER,
            "tokens": self._tokens,
            "heads": self._heads,
            "deps": self._deps,
            "noun_chunks": self._chunks,
        }
