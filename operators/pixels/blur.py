"""Pillow's Gaussian blur: by Pillow itself on a CPU, bit for bit as integer tensor arithmetic elsewhere.

Pillow approximates the Gaussian by three box blurs of fractional width per axis ("extended box blur",
Gwosdek et al. 2011), each stored back as uint8. Source: visual_prompts spec section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

PASSES = 3
WEIGHT_BITS = 24


@dataclass(frozen=True)
class BoxWeights:
    """One box pass in 24-bit fixed point: `2 * radius_px + 1` inner pixels and an outer one on each side."""

    exact_radius_px: float
    radius_px: int
    inner: int
    outer: int


def box_weights(sigma_px: float) -> BoxWeights:
    """Return the box pass whose threefold application approximates a Gaussian of `sigma_px` pixels.

    The intermediate values are float32 where Pillow's are: a float64 `inner` differs in the last digit for
    some sigmas (1.0 among them) and pixels then differ by up to three levels.

    Raises:
        ValueError: if `sigma_px` is negative or not finite.
    """
    if not 0 <= sigma_px < float("inf"):
        raise ValueError(f"sigma_px must be finite and not negative, got {sigma_px}")
    f32 = np.float32
    variance = f32(sigma_px) * f32(sigma_px) / f32(PASSES)
    length = f32(np.sqrt(12.0 * float(variance) + 1.0))
    whole = f32(np.floor((float(length) - 1.0) / 2.0))
    fraction = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    fraction /= 6 * (variance - (whole + 1) * (whole + 1))
    exact_radius = whole + fraction
    radius = int(exact_radius)
    inner = int(f32(1 << WEIGHT_BITS) / (exact_radius * 2 + 1))
    outer = ((1 << WEIGHT_BITS) - (2 * radius + 1) * inner) // 2
    return BoxWeights(float(exact_radius), radius, inner, outer)


def gaussian_blur(image_u8: Tensor, sigma_px: float) -> Tensor:
    """Blur pictures as `ImageFilter.GaussianBlur(sigma_px)` does.

    Args:
        image_u8: uint8 (..., H, W, C); any number of leading dimensions, each picture blurred on its own.
        sigma_px: standard deviation in pixels of `image_u8`.

    Returns:
        A new uint8 tensor of the same shape, on the same device.

    Raises:
        ValueError: if the tensor is not uint8 of at least three dimensions, or `sigma_px` is invalid.
    """
    if image_u8.dtype != torch.uint8 or image_u8.ndim < 3:
        raise ValueError(f"expected uint8 (..., H, W, C), got {image_u8.dtype} {tuple(image_u8.shape)}")
    return blur_planes(image_u8.movedim(-1, -3), sigma_px).movedim(-3, -1).contiguous()


def blur_planes(planes_u8: Tensor, sigma_px: float) -> Tensor:
    """Do what `gaussian_blur` does for planes of one channel, uint8 (..., H, W)."""
    if planes_u8.device.type != "cpu":
        return blur_on_device(planes_u8, sigma_px)
    box_weights(sigma_px)  # refuses what it refuses
    blurred = planes_u8.clone(memory_format=torch.contiguous_format)
    if blurred.numel():
        for plane in blurred.view(-1, *blurred.shape[-2:]):
            picture = Image.fromarray(plane.numpy()).filter(ImageFilter.GaussianBlur(sigma_px))
            plane.copy_(torch.from_numpy(np.array(picture)))
    return blurred


def blur_on_device(planes_u8: Tensor, sigma_px: float) -> Tensor:
    """Do what `blur_planes` does with tensors alone, on any device."""
    weights = box_weights(sigma_px)
    if sigma_px == 0 or planes_u8.numel() == 0:
        return planes_u8.clone()
    # Lines lie last and contiguous: a running sum along any other dimension is many times slower on a CPU.
    lines = planes_u8.contiguous()
    for _ in range(PASSES):
        lines = _box_pass(lines, weights)
    lines = lines.mT.contiguous()
    for _ in range(PASSES):
        lines = _box_pass(lines, weights)
    return lines.mT.contiguous()


def _box_pass(lines_u8: Tensor, weights: BoxWeights) -> Tensor:
    """Blur along the last dimension once; pixels beyond an end of the line repeat the end pixel.

    Pillow computes `(inner * sum + outer * ends + 2**23) >> 24` in unsigned 32-bit numbers. Pixels are taken
    relative to 128 here, so that the same total, shifted by 2**31, fits a signed one without overflow.
    """
    reach, length = weights.radius_px + 1, lines_u8.shape[-1]
    centred = lines_u8.to(torch.int32).sub_(128)
    first, last = centred[..., :1], centred[..., -1:]
    repeat = (*centred.shape[:-1], reach)
    padded = torch.cat([first.expand(repeat), centred, last.expand(repeat)], dim=-1)
    running = torch.cumsum(padded, dim=-1, dtype=torch.int32)
    total = running[..., 2 * reach - 1 : -1] - running[..., :length]
    total *= weights.inner
    total.add_(padded[..., :length], alpha=weights.outer).add_(padded[..., 2 * reach :], alpha=weights.outer)
    kept = (2 * weights.radius_px + 1) * weights.inner + 2 * weights.outer
    total += 128 * kept + (1 << (WEIGHT_BITS - 1)) - (1 << 31)
    return total.bitwise_right_shift_(WEIGHT_BITS).add_(128).to(torch.uint8)
