"""Crop prompts (paper code P)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from operators.geometry import Boxes, xywh_to_xyxy
from operators.prompts import visual_prompt


def clamped_corners(boxes_xywh: Boxes, enlarge_px: float, width_px: int, height_px: int) -> Boxes:
    """Grow boxes by `enlarge_px` on every side and clamp them to the image; returns N x 4 xyxy floats."""
    boxes = xywh_to_xyxy(boxes_xywh) + np.array([-1.0, -1.0, 1.0, 1.0]) * enlarge_px
    return np.clip(boxes, 0, [width_px, height_px, width_px, height_px])


@visual_prompt("crop", code="P", space="native", region="box")
def crop(image: Image.Image, boxes_xywh: Boxes, *, enlarge_px: float = 0.0) -> list[Image.Image]:
    """Cut each box out of the image, as ReCLIP does (visual_prompts spec section 9).

    Corners are rounded half to even, as Pillow's crop does. A crop thinner than one pixel is widened to one
    pixel inside the image; the reference fails there.

    Args:
        image: RGB, size (W, H).
        boxes_xywh: N x 4, pixels of `image`.
        enlarge_px: growth on each side, clamped to the image.

    Returns:
        N RGB images.
    """
    crops = []
    for left, top, right, bottom in clamped_corners(boxes_xywh, enlarge_px, image.width, image.height):
        x1, x2 = _at_least_one_pixel(round(left), round(right), image.width)
        y1, y2 = _at_least_one_pixel(round(top), round(bottom), image.height)
        crops.append(image.crop((x1, y1, x2, y2)))
    return crops


@visual_prompt("raw", code="I", space="native", region="none")
def raw(image: Image.Image, boxes_xywh: Boxes) -> list[Image.Image]:
    """Return the unedited image once per box (visual_prompts spec section 1, code I)."""
    return [image] * len(boxes_xywh)


def _at_least_one_pixel(low: int, high: int, side_px: int) -> tuple[int, int]:
    if high > low:
        return low, high
    low = min(low, side_px - 1)
    return low, low + 1
