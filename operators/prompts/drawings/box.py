"""Box prompts in canvas space (paper codes B1 to B4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.prompts import GrayWeights, visual_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.canvas import Canvas


@visual_prompt("box", code="B1", space="canvas", region="box")
def box(canvas: Canvas, *, line_color: str = "red", thickness_px: int = 2) -> Tensor:
    """Outline the box (visual_prompts spec section 4.1)."""
    return canvas.stroke(canvas.box_lines(thickness_px), line_color)


@visual_prompt("box_mask", code="B2", space="canvas", region="box")
def box_mask(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> Tensor:
    """Tint the inside of the box (Colorful Box)."""
    return canvas.tint(canvas.box_regions(), mask_color, alpha)


@visual_prompt("reverse_box_mask", space="canvas", region="box")
def reverse_box_mask(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> Tensor:
    """Tint the outside of the box."""
    return canvas.tint(~canvas.box_regions(), mask_color, alpha)


@visual_prompt("grayscale_box_mask", code="B3", space="canvas", region="box")
def grayscale_box_mask(canvas: Canvas, *, gray_weights: GrayWeights = "swapped") -> Tensor:
    """Turn the outside of the box grey (Grayscale Reverse Box)."""
    return canvas.keep(canvas.box_regions(), canvas.gray(gray_weights))


@visual_prompt("blur_box_mask", code="B4", space="canvas", region="box")
def blur_box_mask(canvas: Canvas, *, sigma_px: float = 100.0) -> Tensor:
    """Blur the outside of the box (Blur Reverse Box); the region is never scaled."""
    return canvas.keep(canvas.box_regions(), canvas.blurred(sigma_px))
