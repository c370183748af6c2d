"""Entity trees: the traces of the specification, and what is no tree."""

from __future__ import annotations

import pytest
from hand_parses import BIGGEST, IN_SHIRT, LEFT_OF, ON_THE_LEFT, RIGHT_SIDE, STANDING, parse

from operators.relations import ParseError, Relations
from operators.relations.sentence import MAX_TOKENS, Sentence
from operators.relations.tree import Entity, EntityReader


def described(parsed: dict, **options: bool) -> tuple | None:
    """Return (head, relations, superlatives) in words."""
    sentence = Sentence(parsed, " ".join(parsed["tokens"]))

    def words(positions: tuple[int, ...]) -> str:
        return " ".join(sentence.tokens[i] for i in positions)

    def tell(entity: Entity) -> tuple:
        relations = [(words(r.path), tell(r.entity)) for r in entity.relations]
        return sentence.span_text(entity.head), relations, [words(g) for g in entity.superlatives]

    entity = EntityReader(sentence, Relations(**options)).read()
    return entity and tell(entity)


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (ON_THE_LEFT, ("man", [], ["on left"])),
        (parse("left man", [1, 1], (0, 2)), ("left man", [], ["left"])),
        (LEFT_OF, ("man", [("to left of", ("the woman", [], []))], [])),
        (BIGGEST, ("biggest cow", [("behind", ("the fence", [], []))], ["biggest"])),
        (
            RIGHT_SIDE,
            ("the right side", [("side of", ("the pizza", [], []))], ["right side"]),
        ),
        (STANDING, ("left", [], ["left"])),
        (
            IN_SHIRT,
            ("woman", [("in", ("red shirt", [], [])), ("behind", ("a car", [], []))], []),
        ),
    ],
)
def test_traces_of_the_specification(parsed: dict, expected: tuple) -> None:
    assert described(parsed) == expected


def test_keyword_lists_can_be_switched_off() -> None:
    assert described(ON_THE_LEFT, superlatives=False) == ("man", [], [])
    without = described(LEFT_OF, relations=False)
    assert without == ("man", [("to", ("the left", [("left of", ("the woman", [], []))], []))], [])
    picture = parse("dog on side of picture", [0, 0, 1, 2, 3], (0, 1), (2, 3), (4, 5))
    assert described(picture) == ("dog", [], [])
    expected = ("dog", [("on", ("side", [("of", ("picture", [], []))], []))], [])
    assert described(picture, null_words=False) == expected


def test_without_noun_chunks_or_words_there_is_no_entity() -> None:
    assert described(parse("left", [0])) is None
    assert described(parse("", [])) is None


def test_words_are_taken_from_the_text_as_it_stands() -> None:
    parsed = parse("the boy 's left-most hand", [1, 4, 1, 4, 4], (0, 5))
    sentence = Sentence(parsed, "the boy's  left-most hand")
    assert sentence.span_text(sentence.chunks[0]) == "the boy's  left-most hand"
    other = Sentence(parsed, "some other words")
    assert other.span_text(other.chunks[0]) == "the boy 's left-most hand"


@pytest.mark.parametrize(
    ("parsed", "message"),
    [
        (parse("a b", [0]), "2 tokens but 1 heads"),
        (parse("a b", [0, 2]), "the head of token 1 is 2; there are 2 tokens"),
        (parse("a b", [-1, 0]), "the head of token 0 is -1"),
        (parse("a b c", [1, 0, 2]), "the heads of token 0 run in a circle"),
        (parse("a b", [0, 0], (1, 3)), "noun chunk 1..3 is not within the 2 tokens"),
        (parse("a b", [0, 0], (1, 1)), "noun chunk 1..1"),
        (parse("a " * (MAX_TOKENS + 1), [0] * (MAX_TOKENS + 1)), f"{MAX_TOKENS + 1} tokens"),
    ],
)
def test_what_is_no_dependency_tree_is_refused(parsed: dict, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        Sentence(parsed, "a b")


def test_the_deepest_tree_is_read() -> None:
    heads = [0, *range(MAX_TOKENS - 1)]
    parsed = parse("a " * (MAX_TOKENS - 2) + "left man", heads, (0, 1), (MAX_TOKENS - 1, MAX_TOKENS))
    assert described(parsed)[0] == "a"


def test_expanded_chunks_take_in_loose_neighbours() -> None:
    parsed = parse("car and truck", [0, 0, 0], (0, 1), (2, 3))
    sentence = Sentence(parsed, "car and truck")
    grown = {t: (c.start, c.end) for t, c in sentence.expanded_chunk_of.items()}
    assert grown == {0: (0, 2), 2: (2, 3)}
