"""The frame a promptable segmenter works in: the image resized so that its long side has `frame_px` pixels.

Masks stay in this frame and mask prompts are drawn on the image resized to it, so both the segmenter and
the renderer come here. Nothing in this module imports torch.
Source: rec_scoring spec section 4, steps 1, 2 and 8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from operators.pixels.resize import resize_picture

SAM_FRAME_PX = 1024


def frame_size_px(height_px: int, width_px: int, frame_px: int = SAM_FRAME_PX) -> tuple[int, int]:
    """Return (height, width) in pixels of an image in the frame: long side `frame_px`, sides rounded half up.

    A side of an extremely long image is kept at 1 pixel where rounding would give 0.
    """
    scale = frame_px / max(height_px, width_px)
    return max(1, int(height_px * scale + 0.5)), max(1, int(width_px * scale + 0.5))


def to_frame(image_HWC: NDArray[np.uint8], frame_px: int = SAM_FRAME_PX) -> NDArray[np.uint8]:
    """Resize a uint8 RGB image H x W x 3 to the frame with Pillow's antialiased bilinear filter."""
    height_px, width_px = frame_size_px(image_HWC.shape[0], image_HWC.shape[1], frame_px)
    return np.array(resize_picture(Image.fromarray(image_HWC), (width_px, height_px), "bilinear"))


def boxes_to_frame(
    boxes_xyxy: ArrayLike, image_size_hw: tuple[int, int], frame_px: int = SAM_FRAME_PX
) -> NDArray[np.float32]:
    """Scale N x 4 boxes from original pixels to the frame, in float32, neither clamped nor rounded."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float32).reshape(-1, 4)
    return boxes * _scale_xyxy(image_size_hw, frame_size_px(*image_size_hw, frame_px)).astype(np.float32)


def boxes_from_frame(
    boxes_xyxy: ArrayLike, image_size_hw: tuple[int, int], frame_px: int = SAM_FRAME_PX
) -> NDArray[np.float64]:
    """Scale N x 4 boxes from the frame back to original pixels."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    return boxes * _scale_xyxy(frame_size_px(*image_size_hw, frame_px), image_size_hw)


def _scale_xyxy(from_hw: tuple[int, int], to_hw: tuple[int, int]) -> NDArray[np.float64]:
    scale_x, scale_y = to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]
    return np.array([scale_x, scale_y, scale_x, scale_y])
