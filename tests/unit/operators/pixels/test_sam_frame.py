import numpy as np
import pytest

from operators.pixels.sam_frame import boxes_from_frame, boxes_to_frame, frame_size_px, to_frame


@pytest.mark.parametrize(
    ("size_hw", "frame_px", "expected_hw"),
    [
        ((480, 640), 1024, (768, 1024)),
        ((427, 640), 1024, (683, 1024)),
        ((640, 480), 1024, (1024, 768)),
        ((333, 500), 1024, (682, 1024)),
        ((1024, 1024), 1024, (1024, 1024)),
        ((50, 100), 256, (128, 256)),
        ((1, 5000), 1024, (1, 1024)),
    ],
)
def test_frame_size(size_hw, frame_px, expected_hw):
    assert frame_size_px(*size_hw, frame_px) == expected_hw


def test_an_image_of_frame_size_is_not_resampled():
    image_HWC = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert np.array_equal(to_frame(image_HWC, 64), image_HWC)


def test_an_image_is_resized_to_the_frame():
    frame = to_frame(np.full((30, 40, 3), 7, dtype=np.uint8), 64)
    assert frame.shape == (48, 64, 3)
    assert frame.dtype == np.uint8
    assert (frame == 7).all()


def test_boxes_are_scaled_per_axis_and_neither_clamped_nor_rounded():
    boxes = boxes_to_frame([[-1.5, 2, 41.25, 30]], (333, 500), 1024)
    scale_x, scale_y = np.float32(1024 / 500), np.float32(682 / 333)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[-1.5 * scale_x, 2 * scale_y, np.float32(41.25) * scale_x, 30 * scale_y]]


def test_boxes_come_back_from_the_frame():
    boxes_xyxy = np.array([[3.5, 4.25, 100, 222], [0, 0, 500, 333]])
    assert boxes_from_frame(boxes_to_frame(boxes_xyxy, (333, 500)), (333, 500)) == pytest.approx(boxes_xyxy)


def test_no_boxes():
    assert boxes_to_frame(np.zeros((0, 4)), (10, 20)).shape == (0, 4)
    assert boxes_from_frame([], (10, 20)).shape == (0, 4)
