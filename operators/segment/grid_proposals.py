"""Proposals without a detector: SAM prompted by a regular grid of points.

Source: rec_scoring spec section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator

from operators.datasets.image_rows import add_proposals
from operators.methods.models import Segmenter
from operators.pixels.geometry import Boxes, xywh_to_xyxy
from operators.pixels.images import ImageError, decode_row, to_array
from operators.pixels.sam_frame import boxes_from_frame
from operators.segment.sam_model import SegmentAnything


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


def propose_regions(
    segmenter: SegmentAnything, row: dict[str, Any], name: str, settings: GridSettings = PUBLISHED_GRID
) -> dict[str, Any]:
    """Return an image row with a proposal set of that name added; a row without a picture stays as it is."""
    try:
        proposals = grid_proposals(segmenter, to_array(decode_row(row)), settings)
    except ImageError:
        return row
    add_proposals(row, name, [proposal.box_xywh for proposal in proposals])
    return row


def grid_proposals(
    segmenter: SegmentAnything, image_HWC: NDArray[np.uint8], settings: GridSettings = PUBLISHED_GRID
) -> list[GridProposal]:
    """Propose regions of a uint8 RGB image, best predicted IoU first; possibly none."""
    generator = SamAutomaticMaskGenerator(
        segmenter.sam,
        points_per_side=settings.points_per_side,
        points_per_batch=settings.points_per_batch,
        pred_iou_thresh=settings.min_predicted_iou,
        stability_score_thresh=settings.min_stability,
        stability_score_offset=settings.stability_offset,
        box_nms_thresh=settings.max_box_iou,
        crop_n_layers=0,
        min_mask_region_area=settings.min_area_px,
    )
    found = generator.generate(segmenter.to_frame(image_HWC))
    frame_xyxy = xywh_to_xyxy(np.array([mask["bbox"] for mask in found], dtype=np.float64))
    boxes_xyxy = boxes_from_frame(frame_xyxy, image_HWC.shape[:2], segmenter.frame_px)
    boxes_xywh = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    return [
        GridProposal(box_xywh, mask["segmentation"], mask["predicted_iou"])
        for box_xywh, mask in zip(boxes_xywh, found, strict=True)
    ]
