"""Regions at points: the same masks as segment-anything's own predictor gives, boxes from the masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_models
import torch
from segment_anything import SamPredictor

from operators.pixels.masks import tight_boxes_xyxy
from operators.segment.point_proposals import regions_at_points
from operators.segment.sam_model import SegmentAnything

POINTS_XY = np.array([[10.0, 12.0], [70.5, 40.0], [100.0, 20.0]])


@pytest.fixture(scope="module")
def segmenter() -> SegmentAnything:
    torch.manual_seed(3)
    state = tiny_models.build_sam().state_dict()
    return SegmentAnything.from_state_dict(
        json.dumps(tiny_models.SAM), state, min_area_px=0, boxes_per_batch=2
    )


def frame_sized_image() -> np.ndarray:
    """An image that is its own frame (long side 128), so that the predictor resizes nothing."""
    return np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)


def test_masks_equal_those_of_the_predictor(segmenter) -> None:
    boxes_xyxy, masks = regions_at_points(segmenter, frame_sized_image(), POINTS_XY)
    predictor = SamPredictor(segmenter.sam)
    predictor.set_image(frame_sized_image())
    for point, box, mask in zip(POINTS_XY, boxes_xyxy, masks, strict=True):
        three, iou, _ = predictor.predict(point[None], np.ones(1, dtype=int), multimask_output=True)
        assert (mask == three[iou.argmax()]).all()
        assert box.tolist() == tight_boxes_xyxy(mask[None])[0].tolist()
    assert 0 < masks.mean() < 1


def test_boxes_are_in_image_pixels_and_no_points_give_no_regions(segmenter) -> None:
    small = frame_sized_image()
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    boxes_xyxy, masks = regions_at_points(segmenter, large, POINTS_XY * 2)
    assert masks.shape == (3, 96, 128)
    np.testing.assert_allclose(boxes_xyxy, 2 * tight_boxes_xyxy(masks), atol=1e-9)
    boxes_xyxy, masks = regions_at_points(segmenter, small, POINTS_XY[:0])
    assert boxes_xyxy.shape == (0, 4) and masks.shape == (0, 96, 128)
