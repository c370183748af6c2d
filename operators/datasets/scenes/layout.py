"""What a scene holds: shapes with a look and a place, some alike so that a look alone does not tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUND = ("circle", "ring", "heart", "moon")
ANGULAR = ("square", "triangle", "star", "cross")
SHAPES = (*ROUND, *ANGULAR)
COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
PATTERNS = ("plain", "striped", "dotted")

MIN_OBJECTS, MAX_OBJECTS = 3, 6
WIDTHS_PX, HEIGHTS_PX = (224, 288), (192, 256)
SMALL_PX, BIG_PX = (38, 50), (62, 80)
# Share of the smaller of two boxes that may lie under the other.
MAX_COVERED = 0.22
TRIES = 60
MAX_TILT_DEGREES = 18.0


@dataclass(frozen=True)
class Look:
    """What can be told of an object without its surroundings, apart from its size."""

    shape: str
    color: str
    pattern: str


@dataclass(frozen=True)
class Thing:
    """One object. Centre and side of its square in pixels; later things lie on top of earlier ones."""

    look: Look
    center_xy: tuple[float, float]
    side_px: float
    tilt_degrees: float

    @property
    def extent_xyxy(self) -> tuple[float, float, float, float]:
        """Return the square it is drawn in, untilted."""
        (x, y), half = self.center_xy, self.side_px / 2
        return x - half, y - half, x + half, y + half


@dataclass(frozen=True)
class Layout:
    """A scene before it is painted."""

    width_px: int
    height_px: int
    things: tuple[Thing, ...]


def random_layout(random: np.random.RandomState) -> Layout:
    """Place three to six things. Some share their whole look, more share a colour or a shape."""
    width, height = random.randint(*WIDTHS_PX), random.randint(*HEIGHTS_PX)
    things: list[Thing] = []
    for look in _looks(random, random.randint(MIN_OBJECTS, MAX_OBJECTS + 1)):
        thing = _place(random, look, width, height, things)
        if thing is not None:
            things.append(thing)
    if len(things) < MIN_OBJECTS:
        return random_layout(random)
    return Layout(width, height, tuple(things[i] for i in random.permutation(len(things))))


def _looks(random: np.random.RandomState, count: int) -> list[Look]:
    first = _look(random)
    looks = [first]
    while len(looks) < count:
        near, chance = looks[random.randint(len(looks))], random.uniform()
        if chance < 0.2:
            looks.append(near)
        elif chance < 0.45:
            looks.append(Look(near.shape, _choose(random, COLORS), near.pattern))
        elif chance < 0.65:
            looks.append(Look(_choose(random, SHAPES), near.color, near.pattern))
        else:
            looks.append(_look(random))
    return looks


def _look(random: np.random.RandomState) -> Look:
    return Look(_choose(random, SHAPES), _choose(random, COLORS), _choose(random, PATTERNS))


def _choose(random: np.random.RandomState, names: tuple[str, ...]) -> str:
    return names[random.randint(len(names))]


def _place(
    random: np.random.RandomState, look: Look, width: int, height: int, placed: list[Thing]
) -> Thing | None:
    """Look for a free place; None if there is hardly any room left."""
    for _ in range(TRIES):
        side = random.uniform(*(SMALL_PX if random.uniform() < 0.5 else BIG_PX))
        margin = 0.55 * side  # a tilted corner reaches beyond half a side
        center = (random.uniform(margin, width - margin), random.uniform(margin, height - margin))
        thing = Thing(look, center, side, random.uniform(-MAX_TILT_DEGREES, MAX_TILT_DEGREES))
        if all(_covered(thing, other) <= MAX_COVERED for other in placed):
            return thing
    return None


def _covered(a: Thing, b: Thing) -> float:
    ax1, ay1, ax2, ay2 = a.extent_xyxy
    bx1, by1, bx2, by2 = b.extent_xyxy
    overlap = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    return overlap / min(a.side_px, b.side_px) ** 2
