"""Regions at given points: SAM prompted with one positive point each.

Source: paco_parts spec section 4 (keypoint mode: positive points, boxes from the final masks).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from operators.pixels.geometry import Boxes
from operators.pixels.masks import BoolMasks, remove_small_regions, tight_boxes_xyxy
from operators.pixels.sam_frame import boxes_from_frame, boxes_to_frame
from operators.segment.sam_model import ImageEmbedding, SegmentAnything, masks_from_logits


def regions_at_points(
    segmenter: SegmentAnything, image_HWC: NDArray[np.uint8], points_xy: NDArray[np.float64]
) -> tuple[Boxes, BoolMasks]:
    """Return one region for every point.

    A point means a thing, a part of it or a part of that part; of SAM's three masks the one that it predicts
    to be best is taken.

    Args:
        segmenter: SAM.
        image_HWC: uint8 RGB.
        points_xy: N x 2, pixels of the image.

    Returns:
        Boxes N x 4 (xyxy, pixels of the image; without area where a mask is empty), and boolean masks
        N x H x W in the segmenter's frame.
    """
    embedding = segmenter.embed(image_HWC)
    points = boxes_to_frame(np.tile(points_xy, 2), embedding.image_size_hw, segmenter.frame_px)[:, :2]
    masks_NHW = np.empty((len(points), *embedding.frame_size_hw), dtype=np.bool_)
    for start in range(0, len(points), segmenter.boxes_per_batch):
        chunk = slice(start, start + segmenter.boxes_per_batch)
        masks_NHW[chunk] = _masks(segmenter, embedding, points[chunk])
    if segmenter.min_area_px > 0:
        for index, mask_HW in enumerate(masks_NHW):
            masks_NHW[index] = remove_small_regions(mask_HW, segmenter.min_area_px)
    frame_xyxy = tight_boxes_xyxy(masks_NHW)
    return boxes_from_frame(frame_xyxy, embedding.image_size_hw, segmenter.frame_px), masks_NHW


@torch.inference_mode()
def _masks(
    segmenter: SegmentAnything, embedding: ImageEmbedding, points_xy: NDArray[np.float32]
) -> BoolMasks:
    sam = segmenter.sam
    points_N12 = torch.as_tensor(points_xy, device=sam.device)[:, None]
    positive_N1 = torch.ones(points_N12.shape[:2], dtype=torch.int, device=sam.device)
    logits_N3HW, iou_N3 = segmenter.decode(embedding, points=(points_N12, positive_N1), multimask=True)
    best_NHW = logits_N3HW[torch.arange(len(points_xy), device=sam.device), iou_N3.argmax(dim=1)]
    return masks_from_logits(best_NHW, segmenter.frame_px, embedding.frame_size_hw).cpu().numpy()
