"""Which texts an expression needs, and what is made of its tree."""

from __future__ import annotations

import pytest
from hand_parses import (
    BETWEEN,
    BETWEEN_TWO,
    IN_SHIRT,
    LEFT_OF,
    ON_THE_LEFT,
    PLAIN,
    WITH_HAT_WITH_BAG,
    parse,
)

from operators.relations import Relations, compile_expression, texts_needed


def text_of(parsed: dict) -> str:
    return " ".join(parsed["tokens"])


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (ON_THE_LEFT, ["man on the left", "man"]),
        (LEFT_OF, ["man to the left of the woman", "the woman", "man"]),
        (IN_SHIRT, ["woman in red shirt behind a car", "a car", "woman in red shirt"]),
        (PLAIN, ["woman in red shirt"]),
        (parse("left man", [1, 1], (0, 2)), ["left man"]),
        (parse("left", [0]), ["left"]),
    ],
)
def test_texts(parsed: dict, expected: list[str]) -> None:
    assert texts_needed(parsed, text_of(parsed).title(), Relations()) == expected


@pytest.mark.parametrize(
    ("possessive", "expected"),
    [
        ("last", "left man with bag"),
        ("all", "left man with hat with bag"),
        ("append", "left man with hat with bag"),
        ("none", "left man"),
    ],
)
def test_possessive_texts(possessive: str, expected: str) -> None:
    program = compile_expression(
        WITH_HAT_WITH_BAG, text_of(WITH_HAT_WITH_BAG), Relations(possessive=possessive)
    )
    assert program.entity.text == expected


def test_an_appended_path_without_words_leaves_two_spaces() -> None:
    parsed = parse("car and truck left", [0, 0, 0, 0], (0, 1), (2, 3))
    program = compile_expression(parsed, text_of(parsed), Relations(possessive="append"))
    assert program.entity.text == "car  truck"


def test_a_possessive_takes_in_the_ancestors_of_its_head() -> None:
    parsed = parse("is dog with hat left", [0, 0, 1, 2, 0], (1, 2), (3, 4))
    program = compile_expression(parsed, text_of(parsed), Relations())
    assert program.entity.text == "is dog with hat"


def test_without_keywords_only_the_caption_counts_unless_asked_otherwise() -> None:
    assert compile_expression(PLAIN, text_of(PLAIN), Relations()).entity is None
    always = compile_expression(PLAIN, text_of(PLAIN), Relations(need_keyword=False))
    assert always.entity.text == "woman in red shirt"


def test_keywords_anywhere_in_the_sentence_count() -> None:
    parsed = parse("right handed man", [2, 0, 2], (2, 3))
    assert compile_expression(parsed, text_of(parsed), Relations()).entity.text == "man"


def test_between_is_a_possessive_nothing_or_what_it_says() -> None:
    text = text_of(BETWEEN)
    assert texts_needed(BETWEEN, text, Relations())[1:] == ["bird between the cat and the dog"]
    assert texts_needed(BETWEEN, text, Relations(between="ignored"))[1:] == ["bird"]
    applied = compile_expression(BETWEEN, text, Relations(between="applied"))
    ((first, second),) = applied.entity.between
    assert (first.text, second.text) == ("bird between the cat the dog", "the dog")
    pair = compile_expression(BETWEEN_TWO, text_of(BETWEEN_TWO), Relations(between="applied"))
    ((first, second),) = pair.entity.between
    assert first is second
    assert first.text == "two dogs"


def test_a_certainty_of_one_follows_no_relation() -> None:
    program = compile_expression(LEFT_OF, text_of(LEFT_OF), Relations(certainty=1.0))
    assert program.texts() == ["man to the left of the woman", "man"]


def test_wording_keeps_exactly_what_changes_texts() -> None:
    quirks = Relations(
        temperature=3.0, probabilities="sigmoid", certainty=2.0, with_caption=False, zero_means_first=False
    )
    assert quirks.wording() == Relations()
    assert Relations(certainty=0.5).wording() == Relations(certainty=1.0)
    assert Relations(possessive="all", expand_chunks=True).wording() == Relations(
        possessive="all", expand_chunks=True
    )
