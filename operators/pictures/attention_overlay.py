"""Attention as a heat map over what was looked at; numpy and Pillow only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from operators.prompts.colors import Color

Pixels = NDArray[np.uint8]

# What gets little attention stays visible.
OPACITY = (0.25, 0.8)
# Dark blue over green to yellow, five points of matplotlib's viridis: order can be seen without telling hues.
HEAT: tuple[Color, ...] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
GRAY = (0.299, 0.587, 0.114)
DARK: Color = (20, 20, 20)
BRIGHT: Color = (255, 255, 255)


def attention_overlay(
    picture_HWC: Pixels, attention_hw: ArrayLike, highest: float, box_xyxy: ArrayLike
) -> Pixels:
    """Lay a heat map over a picture, turned grey, and outline a box.

    Args:
        picture_HWC: uint8 RGB; not changed.
        attention_hw: attention paid to each cell of a grid that covers the picture, not negative.
        highest: attention that gets the brightest colour, so that several pictures can be compared.
        box_xyxy: outlined in white with a dark rim, pixels of the picture.

    Returns:
        uint8 RGB of the size of the picture.
    """
    height, width = picture_HWC.shape[:2]
    cells = np.asarray(attention_hw, dtype=np.float32) / max(float(highest), 1e-12)
    smooth = Image.fromarray(cells).resize((width, height), Image.Resampling.BILINEAR)
    gray_HW1 = (picture_HWC @ np.array(GRAY))[..., None]  # so that all colour means attention
    levels_HW = np.clip(np.asarray(smooth), 0, 1)
    opacity_HW1 = np.interp(levels_HW, (0, 1), OPACITY)[..., None]
    blended = (1 - opacity_HW1) * gray_HW1 + opacity_HW1 * heat_colors(levels_HW)
    shown = Image.fromarray(np.rint(blended).astype(np.uint8))
    _outline(shown, np.asarray(box_xyxy, dtype=np.float64))
    return np.array(shown)


def heat_colors(levels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the colour (..., 3) of every level from 0, dark, to 1, bright; others are clamped."""
    places = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(levels, places, channel) for channel in np.array(HEAT).T], axis=-1)


def _outline(picture: Image.Image, box_xyxy: NDArray[np.float64]) -> None:
    width, height = picture.size
    line_px = max(1, round(max(picture.size) / 200))
    x1, y1, x2, y2 = np.clip(np.rint(box_xyxy), 0, [width - 1, height - 1] * 2).astype(int).tolist()
    pen = ImageDraw.Draw(picture)
    pen.rectangle((x1, y1, x2, y2), outline=DARK, width=3 * line_px)
    if min(x2 - x1, y2 - y1) > 2 * line_px:
        x1, y1, x2, y2 = x1 + line_px, y1 + line_px, x2 - line_px, y2 - line_px
    pen.rectangle((x1, y1, x2, y2), outline=BRIGHT, width=line_px)
