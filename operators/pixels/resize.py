"""Resizing: Pillow's antialiased filters and mask interpolation, bit for bit, on any device and version.

Source: visual_prompts spec section 3; the arithmetic is Pillow's fixed-point resampling. The width is resized
first and the height then, each rounded to uint8, in two calls: that is what one call of every Pillow up to 12
does, while 13 takes the height first where a picture loses more rows than columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from operators.pixels.clip_input import Filter

Side = Literal["short", "long"]

COEFFICIENT_BITS = 22


def canvas_size_px(height_px: int, width_px: int, side_px: float, side: Side = "short") -> tuple[int, int]:
    """Return (height, width) with the short (or long) side scaled to `side_px`, rounded half up.

    Source: visual_prompts spec section 3 step 2. Neither side becomes less than one pixel.

    Raises:
        ValueError: if a size is not positive.
    """
    if min(height_px, width_px) < 1 or not side_px > 0:
        raise ValueError(f"sizes must be positive, got {height_px} x {width_px} to {side_px}")
    scale = side_px / (min if side == "short" else max)(height_px, width_px)
    return max(1, int(height_px * scale + 0.5)), max(1, int(width_px * scale + 0.5))


def pillow_resize(image_u8: Tensor, size_px: tuple[int, int], filter: Filter = "bilinear") -> Tensor:
    """Resize as one call of `Image.resize` did up to Pillow 12, with any version: width first, then height.

    Args:
        image_u8: uint8 (H, W, 3) or (N, H, W, 3).
        size_px: (height, width) wanted. A side that has that size already is left alone.
        filter: Pillow's filter, antialiased when shrinking.

    Returns:
        uint8 (..., height, width, 3) on the same device.

    Raises:
        ValueError: for another dtype or shape, an unknown filter, or a size without pixels.
    """
    if image_u8.dtype != torch.uint8 or image_u8.ndim not in (3, 4) or image_u8.shape[-1] != 3:
        raise ValueError(f"expected uint8 (N, H, W, 3), got {image_u8.dtype} {tuple(image_u8.shape)}")
    if filter not in _FILTERS:
        raise ValueError(f"unknown filter {filter!r}; known: {', '.join(_FILTERS)}")
    if min(*size_px, *image_u8.shape[-3:-1]) < 1:
        raise ValueError(f"cannot resize {tuple(image_u8.shape)} to {size_px}")
    if tuple(image_u8.shape[-3:-1]) == tuple(size_px):
        return image_u8.clone()
    # Dense matrix products suit an accelerator; on a CPU they are ten times slower than Pillow itself.
    if image_u8.device.type == "cpu":
        return resize_with_pillow(image_u8, size_px, filter)
    return resize_with_matrices(image_u8, size_px, filter)


def resize_with_pillow(image_u8: Tensor, size_px: tuple[int, int], filter: Filter) -> Tensor:
    """`pillow_resize` for a CPU tensor."""
    height, width = size_px
    pictures = image_u8.reshape(-1, *image_u8.shape[-3:])
    resized = [
        np.asarray(resize_picture(Image.fromarray(interleaved(picture)), (width, height), filter))
        for picture in pictures
    ]
    stacked = torch.from_numpy(np.stack(resized)) if resized else image_u8.new_empty(0, height, width, 3)
    return stacked.reshape(*image_u8.shape[:-3], height, width, 3)


def resize_picture(picture: Image.Image, size_wh: tuple[int, int], filter: Filter) -> Image.Image:
    """Resize a Pillow picture to (width, height): the width alone, then the height alone."""
    resample, (width, height) = Image.Resampling[filter.upper()], size_wh
    if picture.width != width:
        picture = picture.resize((width, picture.height), resample)
    return picture if picture.height == height else picture.resize((width, height), resample)


def resize_with_matrices(image_u8: Tensor, size_px: tuple[int, int], filter: Filter) -> Tensor:
    """`pillow_resize` as two products with integer matrices, exact in float64 (sums stay below 2**33)."""
    height, width = size_px
    for dimension, length_px in ((-2, width), (-3, height)):
        rows = image_u8.transpose(dimension, -3)
        image_u8 = _resample_rows(rows, length_px, filter).transpose(dimension, -3)
    return image_u8.contiguous()


def _resample_rows(rows_u8: Tensor, length_px: int, filter: Filter) -> Tensor:
    """Resample dimension -3 of (..., L, M, 3) to `length_px` entries."""
    old_length, across, channels = rows_u8.shape[-3:]
    if old_length == length_px:
        return rows_u8
    matrix = torch.from_numpy(_integer_matrix(old_length, length_px, filter)).to(rows_u8.device)
    sums = matrix @ rows_u8.reshape(*rows_u8.shape[:-2], across * channels).double()
    rounded = (sums.long() + (1 << (COEFFICIENT_BITS - 1))) >> COEFFICIENT_BITS
    return rounded.clamp_(0, 255).to(torch.uint8).unflatten(-1, (across, channels))


@lru_cache(maxsize=64)
def _integer_matrix(old_length: int, new_length: int, filter: Filter) -> NDArray[np.float64]:
    """Return Pillow's coefficients times 2**22, rounded half away from zero: (new_length, old_length)."""
    shape, reach = _FILTERS[filter]
    scale = old_length / new_length
    stretch = max(scale, 1.0)
    centre = (np.arange(new_length) + 0.5) * scale
    support = reach * stretch
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    past = np.minimum((centre + support + 0.5).astype(np.int64), old_length)
    taps = first[:, None] + np.arange(int(np.ceil(support)) * 2 + 1)
    weights = shape((taps - centre[:, None] + 0.5) * (1.0 / stretch))
    weights[taps >= past[:, None]] = 0.0
    # A running sum adds from left to right as Pillow does; numpy's own sum does not.
    total = np.cumsum(weights, axis=1)[:, -1:]
    weights /= np.where(total == 0, 1.0, total)
    integers = np.trunc(weights * (1 << COEFFICIENT_BITS) + np.copysign(0.5, weights))
    matrix = np.zeros((new_length, old_length))
    np.add.at(matrix, (np.arange(new_length)[:, None], np.minimum(taps, old_length - 1)), integers)
    return matrix


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = -0.5, np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


_FILTERS = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}


def resize_masks(masks_NHW: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Interpolate masks bilinearly without antialiasing and keep what is above zero.

    Source: visual_prompts spec section 3 step 5. A bool mask can only grow: any pixel with weight counts.
    That takes no arithmetic on pixels, so every device gives the same.

    Args:
        masks_NHW: bool (N, H, W), or float logits whose zero crossing is the outline.
        size_px: (height, width) wanted.

    Returns:
        bool (N, height, width) on the same device.

    Raises:
        ValueError: if `masks_NHW` is not three-dimensional.
    """
    if masks_NHW.ndim != 3:
        raise ValueError(f"expected masks (N, H, W), got {tuple(masks_NHW.shape)}")
    if len(masks_NHW) == 0:
        return masks_NHW.new_zeros((0, *size_px), dtype=torch.bool)
    if masks_NHW.dtype != torch.bool:
        planes = masks_NHW[:, None].float()
        return F.interpolate(planes, size_px, mode="bilinear", align_corners=False)[:, 0] > 0
    # Whole lines are gathered, because picking single pixels out of a line is many times slower.
    for length_px in size_px:
        first, second = _taps(masks_NHW.shape[1], length_px).to(masks_NHW.device)
        masks_NHW = masks_NHW.index_select(1, first).logical_or_(masks_NHW.index_select(1, second))
        masks_NHW = masks_NHW.mT.contiguous()
    return masks_NHW


def _taps(old_length: int, new_length: int) -> Tensor:
    """Return the two old pixels with weight in each new one, int64 (2, new_length); maybe one twice."""
    scale = np.float32(old_length) / np.float32(new_length)
    # Each step is rounded to float32 as in PyTorch's CPU kernel (for results of more than 128 pixels, height
    # plus width): that decides where a new centre falls on an old one and the neighbour has no weight.
    centre = (np.arange(new_length, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    centre = np.maximum(centre, 0)
    first = centre.astype(np.int64)
    second = np.minimum(first + (centre > first), old_length - 1)
    return torch.from_numpy(np.stack([first, second]))


def planar(image_u8: Tensor) -> Tensor:
    """Lay pictures (..., H, W, 3) out in memory with one plane a channel; the shape stays."""
    return image_u8.movedim(-1, -3).contiguous().movedim(-3, -1)


def interleaved(image_u8: Tensor) -> NDArray[np.uint8]:
    """Return a CPU picture (H, W, 3) as a contiguous array."""
    pixels: NDArray[np.uint8] = image_u8.numpy()
    # OpenCV interleaves planes twenty times faster than a strided copy.
    return pixels if pixels.flags.c_contiguous else cv2.merge([*pixels.transpose(2, 0, 1)])
