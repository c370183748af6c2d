"""Which strings R adds to a caption bank."""

from __future__ import annotations

from hand_parses import SHORT_LEFT_OF

from operators.encode.texts import phrases
from operators.relations import Relations


def test_phrases_are_distinct_prompted_and_without_captions_of_their_own() -> None:
    other = SHORT_LEFT_OF | {"tokens": ["cat", "left", "of", "dog"]}
    bank = [
        ("Man left of Dog", SHORT_LEFT_OF),
        ("cat left of dog", other),
        ("man left of dog", SHORT_LEFT_OF),
    ]
    assert phrases(bank, Relations(), "This is {}") == ["This is dog", "This is man", "This is cat"]


def test_captions_without_a_readable_parse_add_nothing() -> None:
    circle = SHORT_LEFT_OF | {"heads": [1, 0, 1, 2]}
    assert phrases([("a", None), ("man left of dog", circle)], Relations(), "{}") == []


def test_options_change_the_phrases() -> None:
    bank = [("man left of dog", SHORT_LEFT_OF)]
    assert phrases(bank, Relations(relations=False, possessive="none"), "{}") == ["man"]
