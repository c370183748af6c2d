"""Regions that no detector proposed: settings of a grid of points, and what comes out of it.

Source: rec_scoring spec section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.methods.models import Segmenter
from operators.pixels.geometry import Boxes


@dataclass(frozen=True)
class GridSettings:
    """Published settings; `points_per_batch` changes memory, not proposals.

    Attributes:
        points_per_side: grid points along each side of the image.
        points_per_batch: points decoded at once (three full-size float32 masks each).
        min_predicted_iou: masks must be predicted above this IoU.
        min_stability: least ratio of the areas above +offset and above -offset.
        stability_offset: shift of the logit threshold for the stability ratio.
        max_box_iou: of two boxes overlapping more than this, the one with the lower predicted IoU goes.
        min_area_px: smaller holes and islands are removed; 0 switches this off.
    """

    points_per_side: int = 16
    points_per_batch: int = 256
    min_predicted_iou: float = 0.86
    min_stability: float = 0.92
    stability_offset: float = 0.7
    max_box_iou: float = 0.7
    min_area_px: int = 0


class GridProposal(NamedTuple):
    """A proposed region: its box (x, y, w, h) in original pixels, and its mask H x W in the SAM frame.

    Width and height are distances between outermost mask pixels, so a mask one pixel wide has width 0.
    """

    box_xywh: Boxes
    mask_HW: NDArray[np.bool_]
    predicted_iou: float


PUBLISHED_GRID = GridSettings()


def grid_settings(segmenter: Segmenter) -> GridSettings:
    """Return the published settings; a tiny SAM is less sure of its masks, and gets lower thresholds."""
    if segmenter.weights.label != "tiny":
        return PUBLISHED_GRID
    return replace(PUBLISHED_GRID, min_predicted_iou=0.35, min_stability=0.6)
