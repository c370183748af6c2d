"""From a parsed expression to a tree of entities (rec_scoring spec section 10.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operators.relations.keywords import NULL_WORDS, RELATIONS, SUPERLATIVES, Predicate, Row
from operators.relations.options import Relations
from operators.relations.sentence import Chunk, Sentence


@dataclass(frozen=True)
class Relation:
    """The words that lead to another entity, and that entity. `path` holds token positions in order."""

    path: tuple[int, ...]
    entity: Entity


@dataclass(frozen=True)
class Entity:
    """A noun chunk with its relations and its superlatives, each a group of token positions in order."""

    head: Chunk
    relations: tuple[Relation, ...] = ()
    superlatives: tuple[tuple[int, ...], ...] = ()


Found = tuple[list[Relation], list[tuple[int, ...]]]


def first_hit(rows: Iterable[Row], words: Iterable[str]) -> Predicate | None:
    """Return the predicate of the first row that has any of the words."""
    words = set(words)
    return next((predicate for keywords, predicate in rows if keywords & words), None)


class EntityReader:
    """Reads entities from one sentence."""

    def __init__(self, sentence: Sentence, options: Relations) -> None:
        self._sentence = sentence
        self.relations: tuple[Row, ...] = RELATIONS if options.relations else ()
        self.superlatives: tuple[Row, ...] = SUPERLATIVES if options.superlatives else ()
        self._null_words = NULL_WORDS if options.null_words else frozenset[str]()
        self._chunk_of: Mapping[int, Chunk] = (
            sentence.expanded_chunk_of if options.expand_chunks else sentence.chunk_of
        )

    def read(self) -> Entity | None:
        """Return the entity of the sentence's root, or of the first noun chunk's head, or None."""
        if not self._sentence.tokens:
            return None
        entity = self.extract(self._sentence.root)
        if entity is None and self._sentence.chunks:
            entity = self.extract(self._sentence.chunk_head(self._sentence.chunks[0]))
        return entity

    def has_keyword(self) -> bool:
        """Say whether any token is in any relation or superlative list."""
        return first_hit([*self.relations, *self.superlatives], self._sentence.tokens) is not None

    def extract(self, head: int) -> Entity | None:
        """Return the entity at a token; at a token without chunk, such as a verb, that of its first child."""
        if head not in self._chunk_of:
            children = self._sentence.children[head]
            if not children or children[0] not in self._chunk_of:
                return None
            head = children[0]
        relations, superlatives = self._walk(head, self._chunk_of[head], [])
        return Entity(self._chunk_of[head], tuple(relations), tuple(superlatives))

    def _walk(self, token: int, head: Chunk, path: list[int]) -> Found:
        word, children = self._sentence.tokens[token], self._sentence.children[token]
        chunk = self._chunk_of.get(token)
        keyword = first_hit(self.relations, [word]) is not None or word in self._null_words
        if chunk is not None and chunk != head and not keyword:
            entity = self.extract(token)
            assert entity is not None
            return [Relation(tuple(sorted(path)), entity)], []
        if not children:
            return [], self._superlative([*path, token])
        keyword = keyword or self._is_superlative(token)
        relations: list[Relation] = []
        superlatives: list[tuple[int, ...]] = []
        for child in children:
            if chunk is not None and self._chunk_of.get(child) == chunk and not self._is_superlative(child):
                if len(children) == 1:
                    superlatives += self._superlative([*path, token])
                continue
            longer = [*path, token] if chunk is None or keyword else path
            found = self._walk(child, head, longer)
            relations += found[0]
            superlatives += found[1]
        return relations, superlatives

    def _is_superlative(self, token: int) -> bool:
        return first_hit(self.superlatives, [self._sentence.tokens[token]]) is not None

    def _superlative(self, tokens: list[int]) -> list[tuple[int, ...]]:
        return [tuple(sorted(tokens))] if any(map(self._is_superlative, tokens)) else []
