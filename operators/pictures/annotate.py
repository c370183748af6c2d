"""An image with regions marked on it for people: boxes, masks and captions.

Everything is drawn on a fresh uint8 RGB array with the font that comes with Pillow; no font file is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from operators.pixels.geometry import Boxes
from operators.pixels.masks import BoolMasks
from operators.prompts.colors import Color
from operators.score.assignment import Pair

Pixels = NDArray[np.uint8]
Plate = tuple[int, int, int, int]

# Told apart by most people with a colour vision deficiency too; white text can be read on each.
COLORS: tuple[Color, ...] = (
    (0, 107, 180),
    (204, 82, 0),
    (0, 133, 98),
    (176, 48, 128),
    (120, 94, 0),
    (88, 70, 190),
    (190, 30, 45),
    (70, 90, 110),
)
WHITE: Color = (255, 255, 255)
# A marked picture has its long side in this range: captions need room, and a file should stay small.
SHOWN_PX = (800, 1600)
MASK_OPACITY = 0.35
PLATE_OPACITY = 0.75
ELLIPSIS = "…"
LONGEST_LINE = 300


class Mark(NamedTuple):
    """A region to show: its box in image pixels, its mask (if any) in any resolution, and a caption."""

    box_xyxy: ArrayLike
    mask_HW: BoolMasks | None
    caption: str
    color: Color


def region_color(index: int) -> Color:
    """Return the colour that a region has in every picture."""
    return COLORS[index % len(COLORS)]


def masks_at_size(masks_NHW: BoolMasks, size_hw: tuple[int, int]) -> BoolMasks:
    """Resize N masks bilinearly to (height, width); a pixel is inside from one half on, so none grows."""
    height, width = size_hw
    resized = np.zeros((len(masks_NHW), height, width), dtype=np.bool_)
    for target_HW, mask_HW in zip(resized, masks_NHW, strict=True):
        smooth = cv2.resize(mask_HW.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        np.greater_equal(smooth, 0.5, out=target_HW)
    return resized


def annotate(image_HWC: Pixels, marks: Sequence[Mark]) -> Pixels:
    """Draw boxes, masks and captions on an image; later marks lie on earlier ones, captions on everything.

    Args:
        image_HWC: uint8 RGB; not changed.
        marks: what to show; a caption may be empty.

    Returns:
        uint8 RGB, the image resized so that its long side lies within `SHOWN_PX`.
    """
    shown_HWC, scale = _shown(image_HWC)
    line_px = max(2, round(max(shown_HWC.shape[:2]) / 400))
    for mark in marks:
        if mark.mask_HW is not None:
            _draw_mask(shown_HWC, mark.mask_HW, mark.color, line_px)
    boxes = [np.asarray(mark.box_xyxy, dtype=np.float64) * scale for mark in marks]
    for box, mark in zip(boxes, marks, strict=True):
        corners = _inside(box, shown_HWC)
        cv2.rectangle(shown_HWC, corners[:2], corners[2:], mark.color, line_px, cv2.LINE_AA)
    picture = Image.fromarray(shown_HWC)
    _draw_captions(picture, [(_inside(b, shown_HWC), m) for b, m in zip(boxes, marks, strict=True)])
    return np.asarray(picture).copy()


def candidates_picture(image_HWC: Pixels, boxes_xyxy: Boxes, masks_NHW: BoolMasks | None) -> Pixels:
    """Show every region of an image with its number (see `annotate`)."""
    numbered = enumerate(boxes_xyxy)
    return annotate(image_HWC, [_mark(index, box, masks_NHW, str(index)) for index, box in numbered])


def result_picture(
    image_HWC: Pixels,
    boxes_xyxy: Boxes,
    masks_NHW: BoolMasks | None,
    pairs: Sequence[Pair],
    captions: Sequence[str],
) -> Pixels:
    """Show the assigned regions of an image, each with the captions of its texts (see `annotate`)."""
    first = {pair.region: pair for pair in reversed(pairs)}
    masks = [masks_NHW if first[pair.region] is pair else None for pair in pairs]  # tinted once only
    marks = zip(pairs, masks, strict=True)
    return annotate(image_HWC, [_mark(p.region, boxes_xyxy[p.region], m, captions[p.text]) for p, m in marks])


def caption_font(size_px: float) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font."""
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def shortened(text: str, font: ImageFont.FreeTypeFont, width_px: float) -> str:
    """Return the text as one line that fits, its end replaced by an ellipsis if it is too long."""
    line = " ".join(text.split())[:LONGEST_LINE]
    if font.getlength(line) <= width_px:
        return line
    kept = len(line)
    while kept and font.getlength(line[:kept] + ELLIPSIS) > width_px:
        kept -= 1
    return line[:kept].rstrip() + ELLIPSIS if kept else ""


def _mark(index: int, box_xyxy: ArrayLike, masks_NHW: BoolMasks | None, caption: str) -> Mark:
    mask_HW = None if masks_NHW is None else masks_NHW[index]
    return Mark(box_xyxy, mask_HW, caption, region_color(index))


def _shown(image_HWC: Pixels) -> tuple[Pixels, float]:
    """Return a fresh image with its long side within `SHOWN_PX`, and the factor it was resized by."""
    height, width = image_HWC.shape[:2]
    scale = float(np.clip(max(height, width), *SHOWN_PX)) / max(height, width)
    if scale == 1:
        return image_HWC.copy(), scale
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(image_HWC).resize(size, Image.Resampling.LANCZOS)), scale


def _inside(box_xyxy: Boxes, shown_HWC: Pixels) -> Plate:
    """Return the visible part of a box, in whole pixels."""
    height, width = shown_HWC.shape[:2]
    x1, y1, x2, y2 = np.clip(np.rint(box_xyxy), 0, [width - 1, height - 1] * 2).astype(int).tolist()
    return x1, y1, x2, y2


def _draw_mask(shown_HWC: Pixels, mask_HW: BoolMasks, color: Color, line_px: int) -> None:
    size_hw = (shown_HWC.shape[0], shown_HWC.shape[1])
    mask = masks_at_size(mask_HW[None], size_hw)[0]
    blended = (1 - MASK_OPACITY) * shown_HWC[mask] + MASK_OPACITY * np.array(color)
    shown_HWC[mask] = np.rint(blended).astype(np.uint8)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown_HWC, contours, -1, WHITE, max(1, line_px // 2), cv2.LINE_AA)


def _draw_captions(picture: Image.Image, marked: Sequence[tuple[Plate, Mark]]) -> None:
    """Write each caption on a plate at its box, beside the plates that are already there."""
    draw = ImageDraw.Draw(picture, "RGBA")
    size_px = max(picture.size) / 45
    font, pad = caption_font(size_px), round(size_px / 3)
    height, taken = round(size_px * 1.3) + pad, list[Plate]()
    for box, mark in marked:
        text = shortened(mark.caption, font, picture.width - 2 * pad)
        if text:
            width = round(font.getlength(text)) + 2 * pad
            x1, y1, x2, y2 = plate = _free_place(box, (width, height), picture.size, taken)
            taken.append(plate)
            draw.rounded_rectangle(plate, pad, (*mark.color, round(255 * PLATE_OPACITY)))
            draw.text(((x1 + x2) / 2, (y1 + y2) / 2), text, WHITE, font, anchor="mm")


def _free_place(box: Plate, size: tuple[int, int], room: tuple[int, int], taken: Sequence[Plate]) -> Plate:
    """Return a plate above the box's top left corner; below the box, or further down, if that is taken."""
    left = max(0, min(box[0], room[0] - size[0]))
    above, lowest = max(0, box[1] - size[1]), max(0, room[1] - size[1])
    tops = [above, min(box[3], lowest), *range(above, lowest + 1, size[1])]
    plates = [(left, top, left + size[0], top + size[1]) for top in tops]
    return next((plate for plate in plates if not any(_overlap(plate, other) for other in taken)), plates[0])


def _overlap(first: Plate, second: Plate) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
