"""Referring expressions of a scene in the manner of RefCOCO, RefCOCO+ and RefCOCOg.

Every expression is true of exactly one thing of its scene. Places and sizes are told in words that the
relations of the rec_scoring spec (section 10) know, and only where nothing else comes close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from operators.datasets.scenes.grammar import Sentence
from operators.datasets.scenes.layout import COLORS, PATTERNS, SHAPES, Layout, Look, Thing

ANYTHING = ("thing", "one")
ARTICLES = ("the", "a")
SUPERLATIVES = {
    "left": ("left", "leftmost"),
    "right": ("right", "rightmost"),
    "top": ("top",),
    "big": ("biggest", "largest", "bigger"),
    "small": ("smallest", "smaller"),
}
SIDES = ("left", "right")
# How much further out, or larger, the thing meant is than the next that fits.
MARGIN_PX = 22.0
MARGIN_SIZE = 1.25
PLACE_WORDS = (*(word for words in SUPERLATIVES.values() for word in words), "above", "below")
VOCABULARY = (
    *("a", "photo", "of", "the", "to", "on", "sitting"),
    *(*ANYTHING, *SHAPES, *COLORS, *PATTERNS, *PLACE_WORDS),
)


@dataclass(frozen=True)
class Description:
    """What is said of a thing's look; None for what is left out."""

    shape: str | None
    color: str | None
    pattern: str | None

    def fits(self, look: Look) -> bool:
        """Say whether it is true of a look."""
        said = ((self.shape, look.shape), (self.color, look.color), (self.pattern, look.pattern))
        return all(word is None or word == true for word, true in said)

    def words(self, random: np.random.RandomState) -> list[str]:
        """Return adjectives and noun."""
        noun = self.shape or ANYTHING[random.randint(len(ANYTHING))]
        return [word for word in (self.pattern, self.color, noun) if word]


@dataclass(frozen=True)
class Expression:
    """An expression and the number of the thing it means."""

    thing: int
    sentence: Sentence


def descriptions(look: Look) -> list[Description]:
    """Return everything that can be said of a look, shortest first; at least one word of it."""
    every = [
        Description(*(value if said else None for value, said in zip(values, chosen, strict=True)))
        for values in [(look.shape, look.color, look.pattern)]
        for chosen in product((False, True), repeat=3)
        if any(chosen)
    ]
    return sorted(every, key=lambda d: sum(v is not None for v in (d.shape, d.color, d.pattern)))


def appearance(layout: Layout, random: np.random.RandomState) -> Iterator[Expression]:
    """RefCOCO+: looks alone. Things whose look another shares are not referred to.

    As people do, they name the colour, and the pattern too where something else has that colour.
    """
    for index, thing in enumerate(layout.things):
        telling = [d for d in descriptions(thing.look) if _fitting(layout, d) == [index]]
        alone = len(_fitting(layout, Description(None, thing.look.color, None))) == 1
        usual = [d for d in telling if d.color and (alone or d.pattern)]
        for description in _some(random, usual or telling, 2):
            sentence = Sentence()
            sentence.noun_phrase(description.words(random))
            yield Expression(index, sentence)


def location(layout: Layout, random: np.random.RandomState) -> Iterator[Expression]:
    """RefCOCO: short, with places and sizes where looks do not tell."""
    for index, thing in enumerate(layout.things):
        yield from _some(random, [*_superlative(layout, index, thing, random)], 1)
        if random.uniform() < 0.5:
            yield from _some(random, [*_relational(layout, index, thing, random, long=False)], 1)
        telling = [d for d in descriptions(thing.look) if _fitting(layout, d) == [index]]
        for description in _some(random, telling, 1):
            sentence = Sentence()
            sentence.noun_phrase(description.words(random))
            yield Expression(index, sentence)


def relational(layout: Layout, random: np.random.RandomState) -> Iterator[Expression]:
    """RefCOCOg: long, whole looks, mostly told by another thing."""
    for index, thing in enumerate(layout.things):
        # Descriptions come shortest first: the longest are the last.
        yield from [*_relational(layout, index, thing, random, long=True)][-1:]
        whole = descriptions(thing.look)[-1]
        if _fitting(layout, whole) == [index]:
            sentence = Sentence()
            sentence.noun_phrase(["a", *whole.words(random)])
            yield Expression(index, sentence)


DATASETS: dict[str, Callable[[Layout, np.random.RandomState], Iterator[Expression]]] = {
    "scenes": location,
    "scenes+": appearance,
    "scenesg": relational,
}


def _fitting(layout: Layout, description: Description) -> list[int]:
    return [i for i, thing in enumerate(layout.things) if description.fits(thing.look)]


def _superlative(
    layout: Layout, index: int, thing: Thing, random: np.random.RandomState
) -> Iterator[Expression]:
    """`left red circle`, `red circle on the left`, `biggest star`: only where it takes the word to tell."""
    for description in descriptions(thing.look):
        fitting = _fitting(layout, description)
        if len(fitting) < 2:
            continue
        others = [layout.things[i] for i in fitting if i != index]
        for way in SUPERLATIVES:
            if not all(_further(way, thing, other) for other in others):
                continue
            sentence, words = Sentence(), description.words(random)
            if way in SIDES and random.uniform() < 0.4:
                noun = sentence.noun_phrase(words)
                sentence.noun_phrase(["the", way], sentence.word("on", noun))
            else:
                told = SUPERLATIVES[way]
                sentence.noun_phrase([told[random.randint(len(told))], *words])
            yield Expression(index, sentence)


def _relational(
    layout: Layout, index: int, thing: Thing, random: np.random.RandomState, long: bool
) -> Iterator[Expression]:
    """`circle above the red star`: only where no other circle is above it, and there is one red star."""
    for description in descriptions(thing.look):
        alike = [i for i in _fitting(layout, description) if i != index]
        if not alike:
            continue
        for way, other in product(("left", "right", "above", "below"), range(len(layout.things))):
            landmark = layout.things[other]
            known = [d for d in descriptions(landmark.look) if _fitting(layout, d) == [other]]
            true_of = [i for i in alike if not _further(_opposite(way), layout.things[i], landmark)]
            if other != index and known and not true_of and _further(way, thing, landmark):
                words, landmark_words = description.words(random), known[-1 if long else 0].words(random)
                yield Expression(index, _related(words, way, landmark_words, long))


def _related(words: list[str], way: str, landmark_words: list[str], long: bool) -> Sentence:
    sentence = Sentence()
    noun = sentence.noun_phrase(["the", *words] if long else words)
    if long:
        noun = sentence.word("sitting", noun, "acl")
    if way in SIDES:
        side = sentence.noun_phrase(["the", way], sentence.word("to", noun))
        link = sentence.word("of", side)
    else:
        link = sentence.word(way, noun)
    sentence.noun_phrase(["the", *landmark_words], link)
    return sentence


def _further(way: str, thing: Thing, other: Thing) -> bool:
    (x, y), (other_x, other_y) = thing.center_xy, other.center_xy
    return {
        "left": other_x - x > MARGIN_PX,
        "right": x - other_x > MARGIN_PX,
        "top": other_y - y > MARGIN_PX,
        "above": other_y - y > MARGIN_PX,
        "below": y - other_y > MARGIN_PX,
        "big": thing.side_px > MARGIN_SIZE * other.side_px,
        "small": other.side_px > MARGIN_SIZE * thing.side_px,
    }[way]


def _opposite(way: str) -> str:
    return {"left": "right", "right": "left", "above": "below", "below": "above"}[way]


def _some(random: np.random.RandomState, choices: list, count: int) -> list:
    """Return up to `count` of some choices, none twice."""
    return [choices[i] for i in random.permutation(len(choices))[:count]]
