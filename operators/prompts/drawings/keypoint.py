"""The keypoint prompt (paper code A1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.prompts import visual_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.canvas import Canvas


@visual_prompt("keypoint", code="A1", space="canvas", region="box")
def keypoint(canvas: Canvas, *, line_color: str = "red", thickness_px: int = 2) -> Tensor:
    """Outline a circle of fixed radius around the centre of the box (visual_prompts spec section 4.1)."""
    return canvas.stroke(canvas.keypoint_lines(thickness_px), line_color)
