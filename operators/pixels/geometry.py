"""Box arithmetic, in continuous pixel coordinates of the image as stored (EXIF rotation is not applied)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

OK = "ok"
PARTLY_OUTSIDE = "partly_outside"
INVALID = "invalid"

# Farther out lies no picture; drawing libraries overflow there.
MAX_COORDINATE_PX = 1e6


def xywh_to_xyxy(boxes_xywh: Boxes) -> Boxes:
    """Convert N x 4 boxes from (left, top, width, height) to (left, top, right, bottom), pixels."""
    boxes = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def grown_xyxy(boxes_xywh: Boxes, enlarge_px: float) -> Boxes:
    """Return the corners N x 4 of boxes grown on every side."""
    return xywh_to_xyxy(boxes_xywh) + np.array([-1.0, -1.0, 1.0, 1.0]) * enlarge_px


def box_status(box_xywh: tuple[float, float, float, float], width_px: int, height_px: int) -> str:
    """Say whether a box can be a candidate in an image of the given size.

    Returns `ok`, `partly_outside` (kept and flagged) or `invalid`: not finite, beyond `MAX_COORDINATE_PX`,
    without area, or wholly outside the image. Source: rec_scoring spec section 2.4 (zero area),
    design (outside).
    """
    x, y, w, h = box_xywh
    if not all(math.isfinite(v) and abs(v) <= MAX_COORDINATE_PX for v in box_xywh) or w <= 0 or h <= 0:
        return INVALID
    if x >= width_px or y >= height_px or x + w <= 0 or y + h <= 0:
        return INVALID
    inside = x >= 0 and y >= 0 and x + w <= width_px and y + h <= height_px
    return OK if inside else PARTLY_OUTSIDE


def iou_xywh(first_xywh: Boxes, second_xywh: Boxes) -> Boxes:
    """Return the N x M intersection over union of two box lists with continuous areas.

    Source: rec_scoring spec section 11. Boxes without area have IoU 0 with everything.
    """
    a = xywh_to_xyxy(first_xywh)[:, None]
    b = xywh_to_xyxy(second_xywh)[None]
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    intersection = overlap.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
