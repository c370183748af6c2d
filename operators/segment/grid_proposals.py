"""Proposals without a detector: SAM prompted by a regular grid of points.

Source: rec_scoring spec section 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator

from operators.pixels.geometry import xywh_to_xyxy
from operators.pixels.sam_frame import boxes_from_frame
from operators.segment.proposals import PUBLISHED_GRID, GridProposal, GridSettings
from operators.segment.sam_model import SegmentAnything


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
