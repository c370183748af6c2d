"""What is to be computed for an expression, before any box or score is known (rec_scoring spec section 10.3).

A program names every text that must be scored, so that all of them can be encoded beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operators.relations.keywords import BETWEEN, Predicate
from operators.relations.options import Relations
from operators.relations.sentence import Chunk, Sentence
from operators.relations.tree import Entity, EntityReader, first_hit


@dataclass(frozen=True)
class Step:
    """The distribution of one entity: its text's, times relations to others, reweighted by superlatives.

    Attributes:
        text: what is scored, before the template.
        relations: a predicate and the entity it relates to, in order.
        between: the two entities that this one lies between, if the option `between` is `applied`.
        superlatives: predicates, in order.
    """

    text: str
    relations: tuple[tuple[Predicate, Step], ...] = ()
    between: tuple[tuple[Step, Step], ...] = ()
    superlatives: tuple[Predicate, ...] = ()

    def texts(self) -> Iterator[str]:
        """Yield the texts of the entities below and then its own: the order in which they are scored."""
        for _, other in self.relations:
            yield from other.texts()
        for pair in self.between:
            for other in pair:
                yield from other.texts()
        yield self.text


@dataclass(frozen=True)
class Program:
    """The caption, and the root entity where the caption alone does not decide."""

    caption: str
    entity: Step | None

    def texts(self) -> list[str]:
        """Return the distinct texts to score, the caption first."""
        return list(dict.fromkeys([self.caption, *(self.entity.texts() if self.entity else ())]))


def compile_expression(parse: Mapping[str, Any], caption: str, options: Relations) -> Program:
    """Turn a parsed caption into a program.

    Args:
        parse: of the schema `operators.rows.records.PARSE`, made from the caption.
        caption: the expression, lower-cased here.
        options: of the method.

    Raises:
        ParseError: if the parse is malformed.
    """
    sentence = Sentence(parse, caption.lower())
    reader = EntityReader(sentence, options)
    entity = reader.read()
    if entity is None or (options.need_keyword and not reader.has_keyword()):
        return Program(sentence.text, None)
    return Program(sentence.text, _Compiler(sentence, reader, options).step(entity))


def texts_needed(parse: Mapping[str, Any], caption: str, options: Relations) -> list[str]:
    """Return every text that a caption's distribution needs, before the template; the caption first.

    Raises:
        ParseError: if the parse is malformed.
    """
    return compile_expression(parse, caption, options).texts()


class _Compiler:
    def __init__(self, sentence: Sentence, reader: EntityReader, options: Relations) -> None:
        self._sentence = sentence
        self._reader = reader
        self._options = options

    def step(self, entity: Entity) -> Step:
        text = self._sentence.span_text(entity.head)
        named: list[tuple[Predicate, Step]] = []
        between: list[tuple[Step, Step]] = []
        explaining: list[Chunk] = []
        for relation in () if self._options.ignores_relations else entity.relations:
            words = [self._sentence.tokens[t] for t in relation.path]
            other = relation.entity
            predicate = first_hit(self._reader.relations, words)
            if predicate is not None:
                named.append((predicate, self.step(other)))
            elif self._options.between != "possessive" and BETWEEN & set(words):
                if self._options.between == "applied":
                    first = self.step(other)
                    # "between two men" names both at once
                    between.append((first, first if not other.relations else self._first_related(other)))
            elif self._options.possessive == "append":
                text += f" {' '.join(words)} {self._sentence.span_text(other.head)}"
            elif self._options.possessive != "none":
                explaining.append(other.head)
        if explaining:
            text = self._leading_to(entity.head, explaining)
        groups = [[self._sentence.tokens[t] for t in group] for group in entity.superlatives]
        superlatives = [first_hit(self._reader.superlatives, words) for words in groups]
        return Step(text, tuple(named), tuple(between), tuple(p for p in superlatives if p is not None))

    def _first_related(self, entity: Entity) -> Step:
        return self.step(entity.relations[0].entity)

    def _leading_to(self, head: Chunk, others: list[Chunk]) -> str:
        """Return the words of a chunk, of the ways from it to others, and of all that hangs on those."""
        if self._options.possessive == "last":
            others = others[-1:]
        tokens = set(head.tokens).union(*(self._way(head, t) for other in others for t in other.tokens))
        return " ".join(self._sentence.tokens[t] for t in sorted(tokens))

    def _way(self, head: Chunk, target: int) -> set[int]:
        """Return a token, its ancestors and its descendants, if it depends on a chunk or is part of it."""
        ancestors = self._sentence.ancestors(target)
        if not set(head.tokens) & {target, *ancestors}:
            return set()
        return {target, *ancestors, *self._sentence.descendants(target)}
