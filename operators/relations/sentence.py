"""A dependency parse as plain data, checked, with the look-ups that the relation engine needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_TOKENS = 256  # deeper trees than CLIP reads words would only exhaust the stack


class ParseError(ValueError):
    """A parse is not a dependency tree over its tokens."""


@dataclass(frozen=True)
class Chunk:
    """A noun chunk: tokens `start` to `end` (exclusive). Chunks with different keys count as different."""

    key: int
    start: int
    end: int

    @property
    def tokens(self) -> range:
        """Return the positions of its tokens."""
        return range(self.start, self.end)


class Sentence:
    """A parsed expression.

    Args:
        parse: of the schema `operators.rows.records.PARSE`; a root is its own head.
        text: the lower-cased expression that was parsed.

    Raises:
        ParseError: if the lists disagree, a number is out of range, heads run in a circle, or there are more
            than `MAX_TOKENS` tokens.
    """

    def __init__(self, parse: Mapping[str, Any], text: str) -> None:
        self.text = text
        self.tokens: list[str] = list(parse["tokens"])
        self.heads: list[int] = list(parse["heads"])
        spans = [(chunk["start"], chunk["end"]) for chunk in parse["noun_chunks"]]
        _check(self.tokens, self.heads, spans)
        self.children: list[list[int]] = [[] for _ in self.tokens]
        for token, head in enumerate(self.heads):
            if head != token:
                self.children[head].append(token)
        self.chunks = [Chunk(key, start, end) for key, (start, end) in enumerate(spans)]

    @cached_property
    def root(self) -> int:
        """Return the first token that is its own head; a sentence without tokens has none."""
        return next(token for token, head in enumerate(self.heads) if head == token)

    @cached_property
    def chunk_of(self) -> dict[int, Chunk]:
        """Return the noun chunk of every token that is in one."""
        return {token: chunk for chunk in self.chunks for token in chunk.tokens}

    @cached_property
    def expanded_chunk_of(self) -> dict[int, Chunk]:
        """Return for every token of a chunk a chunk of its own, grown by the words next to it that depend on
        it and neither belong nor lead to another chunk (the reference's `expand_chunks`)."""
        return {token: self._grown(token, chunk) for token, chunk in self.chunk_of.items()}

    def ancestors(self, token: int) -> list[int]:
        """Return the heads of a token up to its root."""
        found = []
        while self.heads[token] != token:
            token = self.heads[token]
            found.append(token)
        return found

    def descendants(self, token: int) -> list[int]:
        """Return the tokens below a token."""
        found, stack = [], list(self.children[token])
        while stack:
            found.append(stack.pop())
            stack += self.children[found[-1]]
        return found

    def chunk_head(self, chunk: Chunk) -> int:
        """Return the syntactic head of a chunk's root token: its first token whose head lies outside."""
        root = next(t for t in chunk.tokens if self.heads[t] not in chunk.tokens or self.heads[t] == t)
        return self.heads[root]

    def span_text(self, chunk: Chunk) -> str:
        """Return a chunk as it stands in the text; its tokens joined by spaces where they do not align."""
        if self._offsets is None:
            return " ".join(self.tokens[t] for t in chunk.tokens)
        return self.text[self._offsets[chunk.start][0] : self._offsets[chunk.end - 1][1]]

    @cached_property
    def _offsets(self) -> list[tuple[int, int]] | None:
        """First and last character of every token, or None if the text has other words than the tokens."""
        offsets, end = [], 0
        for token in self.tokens:
            start = self.text.find(token, end)
            if start < 0 or self.text[end:start].strip():
                return None
            end = start + len(token)
            offsets.append((start, end))
        return offsets

    def _grown(self, token: int, chunk: Chunk) -> Chunk:
        start, end = chunk.start, chunk.end
        while start > 0 and self._is_loose(start - 1, chunk):
            start -= 1
        while end < len(self.tokens) and self._is_loose(end, chunk):
            end += 1
        return Chunk(token, start, end)

    def _is_loose(self, token: int, chunk: Chunk) -> bool:
        leads_to_chunk = any(t in self.chunk_of for t in [token, *self.descendants(token)])
        return not leads_to_chunk and any(t in chunk.tokens for t in self.ancestors(token))


def _check(tokens: list[str], heads: list[int], spans: list[tuple[int, int]]) -> None:
    count = len(tokens)
    if count > MAX_TOKENS:
        raise ParseError(f"{count} tokens; at most {MAX_TOKENS} are read")
    if len(heads) != count:
        raise ParseError(f"{count} tokens but {len(heads)} heads")
    for token, head in enumerate(heads):
        if not 0 <= head < count:
            raise ParseError(f"the head of token {token} is {head}; there are {count} tokens")
    for start, end in spans:
        if not 0 <= start < end <= count:
            raise ParseError(f"noun chunk {start}..{end} is not within the {count} tokens")
    rooted = {token for token, head in enumerate(heads) if head == token}
    for token in range(count):
        path: list[int] = []
        while token not in rooted and len(path) <= count:
            path.append(token)
            token = heads[token]
        if token not in rooted:
            raise ParseError(f"the heads of token {path[0]} run in a circle")
        rooted.update(path)
