"""Mask prompts in canvas space (paper codes D1 to D4): the fine-grained prompts of FGVP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.prompts import GrayWeights, visual_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.canvas import Canvas


@visual_prompt("contour", code="D1", space="canvas", region="mask")
def contour(
    canvas: Canvas, *, line_color: str = "red", thickness_px: int = 2, contour_scale: float = 1.0
) -> Tensor:
    """Outline the mask and its holes (visual_prompts spec section 4.1)."""
    return canvas.stroke(canvas.contour_lines(thickness_px, contour_scale), line_color)


@visual_prompt("mask", code="D2", space="canvas", region="mask")
def mask(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> Tensor:
    """Tint the mask (Colorful Mask)."""
    return canvas.tint(canvas.masks, mask_color, alpha)


@visual_prompt("reverse_mask", space="canvas", region="mask")
def reverse_mask(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> Tensor:
    """Tint everything but the mask."""
    return canvas.tint(~canvas.masks, mask_color, alpha)


@visual_prompt("grayscale_mask", code="D3", space="canvas", region="mask")
def grayscale_mask(canvas: Canvas, *, gray_weights: GrayWeights = "swapped") -> Tensor:
    """Turn everything but the mask grey (Grayscale Reverse Mask)."""
    return canvas.keep(canvas.masks, canvas.gray(gray_weights))


@visual_prompt("blur_mask", code="D4", space="canvas", region="mask")
def blur_mask(canvas: Canvas, *, sigma_px: float = 100.0, contour_scale: float = 1.0) -> Tensor:
    """Blur everything but the mask (Blur Reverse Mask)."""
    return canvas.keep(canvas.scaled(canvas.masks, contour_scale), canvas.blurred(sigma_px))
