"""Pictures of the report: drawn by us, shrunk, encoded anew and embedded, so that nothing foreign gets in."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from operators.pixels.geometry import Boxes

QUALITY = 82
TILE_PX = 136
GAP_PX = 6
WHITE = (255, 255, 255)
LINE_PX = 3
PLATE_PX = 15


class Outline(NamedTuple):
    """How a box is drawn: its line, and words at its upper or lower left corner."""

    colour: str
    above: str = ""
    below: str = ""
    inset_px: int = 0


def data_uri(picture: Image.Image | bytes) -> str:
    """Return a Pillow image as JPEG, or an SVG document, as an address that holds the content itself."""
    if isinstance(picture, bytes):
        return "data:image/svg+xml;base64," + base64.b64encode(picture).decode()
    buffer = io.BytesIO()
    # Full colour resolution: thin red lines are what is to be seen.
    picture.convert("RGB").save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def strip(pictures: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """Put pictures in a row, each squashed to a square of `TILE_PX` as an encoder squashes its input.

    Args:
        pictures: at least one, uint8 RGB (h, w, 3) of any size.
    """
    row = Image.new("RGB", (len(pictures) * (TILE_PX + GAP_PX) - GAP_PX, TILE_PX), WHITE)
    for position, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC, reducing_gap=2)
        row.paste(tile, (position * (TILE_PX + GAP_PX), 0))
    return row


def annotated(
    image: Image.Image, boxes_xywh: Boxes, outlines: Sequence[Outline], side_px: int
) -> Image.Image:
    """Shrink or enlarge a picture to a long side of `side_px` and outline boxes on it.

    Args:
        image: RGB.
        boxes_xywh: N x 4, pixels of `image`; drawn in their order, the last on top.
        outlines: one a box.
        side_px: long side of the result.
    """
    scale = side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    picture = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    pen = ImageDraw.Draw(picture)
    plates = []
    for box_xywh, outline in zip(boxes_xywh * scale, outlines, strict=True):
        left, top, right, bottom = corners = _visible(box_xywh, size, outline.inset_px)
        pen.rectangle(corners, outline=outline.colour, width=min(LINE_PX, right - left, bottom - top))
        plates.append((outline.above, outline.colour, (left, top)))
        plates.append((outline.below, outline.colour, (left, bottom - PLATE_PX)))
    for words, colour, corner in plates:
        if words:
            _write(pen, words, colour, corner, size)
    return picture


def _visible(box_xywh: Boxes, size: tuple[int, int], inset_px: int) -> tuple[int, int, int, int]:
    """Return the part of a box inside a picture as (left, top, right, bottom), at least one pixel wide."""
    starts = box_xywh[:2].round().clip(0) + inset_px
    ends = (box_xywh[:2] + box_xywh[2:]).round() - inset_px
    left, top = (min(int(start), side - 2) for start, side in zip(starts, size, strict=True))
    right, bottom = (min(int(end), side - 1) for end, side in zip(ends, size, strict=True))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def _write(
    pen: ImageDraw.ImageDraw, words: str, colour: str, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """Write words on a plate with its upper left corner at the place given, or as near as it fits."""
    font = ImageFont.load_default(size=12)
    width = round(pen.textlength(words, font=font)) + 6
    x, y = max(0, min(corner[0], size[0] - width)), max(0, min(corner[1], size[1] - PLATE_PX))
    pen.rectangle((x, y, x + width, y + PLATE_PX), fill=colour)
    pen.text((x + 3, y + PLATE_PX / 2), words, fill="white", font=font, anchor="lm")
