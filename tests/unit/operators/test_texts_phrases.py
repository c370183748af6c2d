"""Which strings R adds to a caption bank."""

from __future__ import annotations

from operators.relations import Relations
from operators.texts import phrases

LEFT_OF = {
    "parser": "by hand",
    "tokens": ["man", "left", "of", "dog"],
    "heads": [0, 0, 1, 2],
    "deps": [""] * 4,
    "noun_chunks": [{"start": 0, "end": 1}, {"start": 3, "end": 4}],
}


def test_phrases_are_distinct_prompted_and_without_captions_of_their_own() -> None:
    other = LEFT_OF | {"tokens": ["cat", "left", "of", "dog"]}
    bank = [("Man left of Dog", LEFT_OF), ("cat left of dog", other), ("man left of dog", LEFT_OF)]
    assert phrases(bank, Relations(), "This is {}") == ["This is dog", "This is man", "This is cat"]


def test_captions_without_a_readable_parse_add_nothing() -> None:
    circle = LEFT_OF | {"heads": [1, 0, 1, 2]}
    assert phrases([("a", None), ("man left of dog", circle)], Relations(), "{}") == []


def test_options_change_the_phrases() -> None:
    bank = [("man left of dog", LEFT_OF)]
    assert phrases(bank, Relations(relations=False, possessive="none"), "{}") == ["man"]
