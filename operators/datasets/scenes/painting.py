"""A scene as pixels: textured ground, patterned shapes, and the exact mask of what is visible of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from operators.datasets.scenes.layout import Layout, Thing
from operators.pixels.masks import BoolMasks

Pixels = NDArray[np.float32]
Points = list[tuple[float, float]]

# Middle of each colour; every object varies a little about it.
PAINT = {
    "red": (205, 35, 40),
    "green": (40, 150, 55),
    "blue": (40, 75, 205),
    "yellow": (235, 215, 50),
    "purple": (135, 45, 160),
    "orange": (240, 135, 25),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
}
SPREAD_LEVELS = 14
# Shapes are drawn this many times larger and then shrunk, which smooths their edges.
OVERSAMPLE = 4
STRIPE_SHARE, DOT_SHARE = 0.21, 0.28
PATTERN_STRENGTH = 0.42


def paint(layout: Layout, random: np.random.RandomState) -> tuple[NDArray[np.uint8], BoolMasks]:
    """Paint a scene.

    Args:
        layout: what to paint.
        random: consumed for textures and shades.

    Returns:
        The picture, uint8 (H, W, 3) RGB, and the visible part of every thing, bool (N, H, W).
    """
    picture = _ground(layout, random)
    masks_NHW = np.zeros((len(layout.things), layout.height_px, layout.width_px), dtype=np.bool_)
    for index, thing in enumerate(layout.things):
        left, top, cover_HW, colors_HWC = _patch(thing, random)
        height, width = cover_HW.shape
        y, x = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
        inside = picture[y, x]
        cut = (slice(max(-top, 0), None), slice(max(-left, 0), None))
        cover = cover_HW[cut][: inside.shape[0], : inside.shape[1], None]
        picture[y, x] += cover * (colors_HWC[cut][: inside.shape[0], : inside.shape[1]] - inside)
        solid = cover[..., 0] > 0.5
        masks_NHW[:index, y, x] &= ~solid
        masks_NHW[index, y, x] = solid
    picture += random.normal(0, 3.0, picture.shape).astype(np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), masks_NHW


def _ground(layout: Layout, random: np.random.RandomState) -> Pixels:
    """Muted patches of colour with a grain and a few lines that are no objects."""
    size = (layout.width_px, layout.height_px)
    base = random.uniform(95, 165) + random.normal(0, 11, 3)
    coarse = base + random.normal(0, 22, (5, 6, 1)) + random.normal(0, 8, (5, 6, 3))
    fine = random.normal(0, 9, (24, 30, 1)).repeat(3, axis=2) + 128
    ground = _enlarged(coarse, size) + _enlarged(fine, size) - 128
    lines = Image.new("L", size)
    pen = ImageDraw.Draw(lines)
    for _ in range(random.randint(2, 6)):
        ends = random.uniform(0, 1, 4) * np.array(size * 2)
        pen.line([*map(float, ends)], fill=int(random.randint(10, 40)), width=int(random.randint(1, 4)))
    return (ground + np.asarray(lines, dtype=np.float32)[..., None] * random.choice([-1, 1])).astype(
        np.float32
    )


def _enlarged(levels: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
    picture = Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


def _patch(thing: Thing, random: np.random.RandomState) -> tuple[int, int, Pixels, Pixels]:
    """Return left, top, cover (h, w) in 0..1 and colours (h, w, 3) of one thing."""
    reach = int(np.ceil(thing.side_px * 0.75))
    left, top = int(thing.center_xy[0]) - reach, int(thing.center_xy[1]) - reach
    side = 2 * reach
    plane = Image.new("L", (side * OVERSAMPLE, side * OVERSAMPLE))
    offset = (thing.center_xy[0] - left, thing.center_xy[1] - top)
    SHAPE_PAINTERS[thing.look.shape](ImageDraw.Draw(plane), _Frame(thing, offset))
    cover: Pixels = np.asarray(
        plane.resize((side, side), Image.Resampling.BOX), dtype=np.float32
    ) / np.float32(255)
    color = np.array(PAINT[thing.look.color]) + random.uniform(-SPREAD_LEVELS, SPREAD_LEVELS, 3)
    colors = np.broadcast_to(color, (side, side, 3)).astype(np.float32)
    shade = _pattern(thing, side, random)[..., None] * PATTERN_STRENGTH
    contrast = 0.0 if color.mean() > 100 else 255.0  # dark paint gets a light pattern
    toned: Pixels = np.asarray(colors + shade * (contrast - colors), dtype=np.float32)
    return left, top, cover, toned


def _pattern(thing: Thing, side: int, random: np.random.RandomState) -> Pixels:
    """Return where the second tone goes, 0 or 1, (side, side)."""
    if thing.look.pattern == "plain":
        return np.zeros((side, side), dtype=np.float32)
    angle, phase = random.uniform(0, np.pi), random.uniform(0, 1, 2)
    y, x = np.mgrid[:side, :side] / thing.side_px
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if thing.look.pattern == "striped":
        return ((along / STRIPE_SHARE + phase[0]) % 1 < 0.5).astype(np.float32)
    cell = (along / DOT_SHARE + phase[0]) % 1 - 0.5, (across / DOT_SHARE + phase[1]) % 1 - 0.5
    return (np.hypot(*cell) < 0.3).astype(np.float32)


class _Frame:
    """Turns points of the unit square (-1..1, y downwards) into pixels of the oversampled plane."""

    def __init__(self, thing: Thing, offset_xy: tuple[float, float]) -> None:
        turn = np.deg2rad(thing.tilt_degrees)
        half = thing.side_px / 2 * OVERSAMPLE
        self._matrix = half * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self._offset = np.array(offset_xy) * OVERSAMPLE

    def __call__(self, points: NDArray[np.float64] | Points) -> Points:
        moved = np.asarray(points, dtype=np.float64) @ self._matrix.T + self._offset
        return [(float(x), float(y)) for x, y in moved]


def _arc(radius: float, center_xy: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius + np.array(center_xy)


def _fill(
    *outlines: tuple[NDArray[np.float64] | Points, int],
) -> Callable[[ImageDraw.ImageDraw, _Frame], None]:
    """Make a painter that fills outlines one after the other, 255 for inside and 0 for a hole."""

    def draw(pen: ImageDraw.ImageDraw, frame: _Frame) -> None:
        for outline, level in outlines:
            pen.polygon(frame(outline), fill=level)

    return draw


def _star() -> Points:
    turn = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.05, 0.46)
    return [(float(r * np.cos(t)), float(r * np.sin(t))) for r, t in zip(radius, turn, strict=True)]


def _heart() -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    x = 16 * np.sin(turn) ** 3
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    return np.stack([x / 17, (y - 2.5) / 15], axis=1)


def _cross() -> Points:
    a, b = 0.34, 0.97
    return [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]


SHAPE_PAINTERS: dict[str, Callable[[ImageDraw.ImageDraw, _Frame], None]] = {
    "circle": _fill((_arc(0.97), 255)),
    "ring": _fill((_arc(0.97), 255), (_arc(0.52), 0)),
    "heart": _fill((_heart(), 255)),
    "moon": _fill((_arc(0.97), 255), (_arc(0.80, (0.52, -0.1)), 0)),
    "square": _fill(([(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)], 255)),
    "triangle": _fill(([(0.0, -0.95), (0.98, 0.82), (-0.98, 0.82)], 255)),
    "star": _fill((_star(), 255)),
    "cross": _fill((_cross(), 255)),
}
