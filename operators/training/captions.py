"""Training captions: true descriptions of looks, in which words for places and sizes mean nothing.

Whatever a caption says about places is drawn at random, so that a model learns to ignore it and relations
(rec_scoring spec section 10) have something to add, as with CLIP.
"""

from __future__ import annotations

import numpy as np

from operators.datasets.scenes.layout import COLORS, PATTERNS, SHAPES, Look
from operators.datasets.scenes.wording import ARTICLES, PLACE_WORDS, SIDES, Description, descriptions
from operators.methods.method import PHOTO, prompted

PLACE_SHARE, RELATION_SHARE, PLAIN_TEXT_SHARE = 0.35, 0.12, 0.1


def caption(look: Look, random: np.random.RandomState) -> tuple[str, Description]:
    """Return a prompted caption that is true of a look, and what it says of it."""
    choices = descriptions(look)
    said = choices[random.randint(len(choices))]
    words = said.words(random)
    chance = random.uniform()
    if chance < PLACE_SHARE / 2:
        words = [_choose(random, PLACE_WORDS), *words]
    elif chance < PLACE_SHARE:
        words = [*words, "on", "the", _choose(random, SIDES)]
    elif chance < PLACE_SHARE + RELATION_SHARE:
        words = [*words, *_relation(random)]
    if random.uniform() < 0.5:
        words = [_choose(random, ARTICLES), *words]
    text = " ".join(words)
    return (text if random.uniform() < PLAIN_TEXT_SHARE else prompted(PHOTO, text)), said


def _relation(random: np.random.RandomState) -> list[str]:
    side = _choose(random, SIDES)
    link = [["to", "the", side, "of"], ["above"], ["below"]][random.randint(3)]
    link = ["sitting", *link] if random.uniform() < 0.5 else link
    other = Look(_choose(random, SHAPES), _choose(random, COLORS), _choose(random, PATTERNS))
    choices = descriptions(other)
    return [*link, "the", *choices[random.randint(len(choices))].words(random)]


def _choose(random: np.random.RandomState, words: tuple[str, ...]) -> str:
    return words[random.randint(len(words))]
