"""Circle prompts: FGVP's ellipse in canvas space (paper codes C1 to C4) and FALIP's in native space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter

from operators.geometry import Boxes
from operators.prompts import visual_prompt
from operators.prompts.colors import PALETTE
from operators.prompts.crop import clamped_corners

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.canvas import Canvas, GrayWeights

FALIP_SIDE_PER_LINE = 200
# Grey level of "red", which the reference names as the outline of its one-channel mask.
FALIP_RIM_LEVEL = 76


@visual_prompt("circle", code="C1", space="canvas", region="box")
def circle(canvas: Canvas, *, line_color: str = "red", thickness_px: int = 2) -> Tensor:
    """Outline the ellipse inscribed in the box (visual_prompts spec section 4.1): RedCircle as in FGVP."""
    return canvas.stroke(canvas.ellipse_lines(thickness_px), line_color)


@visual_prompt("circle_mask", code="C2", space="canvas", region="box")
def circle_mask(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> Tensor:
    """Tint the inside of the ellipse (Colorful Circle)."""
    return canvas.tint(canvas.ellipse_regions(), mask_color, alpha)


@visual_prompt("reverse_circle_mask", space="canvas", region="box")
def reverse_circle_mask(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> Tensor:
    """Tint the outside of the ellipse."""
    return canvas.tint(~canvas.ellipse_regions(), mask_color, alpha)


@visual_prompt("grayscale_circle_mask", code="C3", space="canvas", region="box")
def grayscale_circle_mask(canvas: Canvas, *, gray_weights: GrayWeights = "swapped") -> Tensor:
    """Turn the outside of the ellipse grey (Grayscale Reverse Circle)."""
    return canvas.keep(canvas.ellipse_regions(), canvas.gray(gray_weights))


@visual_prompt("blur_circle_mask", code="C4", space="canvas", region="box")
def blur_circle_mask(canvas: Canvas, *, sigma_px: float = 100.0, contour_scale: float = 1.0) -> Tensor:
    """Blur the outside of the ellipse (Blur Reverse Circle)."""
    return canvas.keep(canvas.scaled(canvas.ellipse_regions(), contour_scale), canvas.blurred(sigma_px))


@visual_prompt("falip_circle", space="native", region="box")
def falip_circle(image: Image.Image, boxes_xywh: Boxes, *, enlarge_px: float = 0.0) -> list[Image.Image]:
    """Outline the ellipse in each box in red, as FALIP draws RedCircle (visual_prompts spec section 9).

    The line is 1/200 of the long side of the image wide; below 200 pixels nothing is drawn, as published.

    Args:
        image: RGB, size (W, H).
        boxes_xywh: N x 4, pixels of `image`.
        enlarge_px: growth of the boxes on each side, clamped to the image.

    Returns:
        N RGB images of size (W, H).
    """
    return [_outlined(image, ellipse) for ellipse in _ellipses(image, boxes_xywh, enlarge_px)]


@visual_prompt("falip_circle_blur", space="native", region="box")
def falip_circle_blur(
    image: Image.Image, boxes_xywh: Boxes, *, enlarge_px: float = 0.0, sigma_px: float = 100.0
) -> list[Image.Image]:
    """Blur the outside of the ellipse in each box and outline it in red (visual_prompts spec section 9).

    As published, the ellipse has a rim one pixel wide where sharp and blurred picture are blended.

    Args:
        image: RGB, size (W, H).
        boxes_xywh: N x 4, pixels of `image`.
        enlarge_px: growth of the boxes on each side, clamped to the image.
        sigma_px: strength of the blur, pixels of `image`.

    Returns:
        N RGB images of size (W, H).
    """
    blurred = image.filter(ImageFilter.GaussianBlur(sigma_px))
    pictures = []
    for ellipse in _ellipses(image, boxes_xywh, enlarge_px):
        inside = Image.new("L", image.size)
        ImageDraw.Draw(inside).ellipse(ellipse, fill=255, outline=FALIP_RIM_LEVEL)
        pictures.append(_outlined(Image.composite(image, blurred, inside), ellipse))
    return pictures


def _ellipses(image: Image.Image, boxes_xywh: Boxes, enlarge_px: float) -> list[tuple[int, int, int, int]]:
    corners = clamped_corners(boxes_xywh, enlarge_px, image.width, image.height)
    return [(int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in corners]


def _outlined(picture: Image.Image, ellipse: tuple[int, int, int, int]) -> Image.Image:
    picture, width_px = picture.copy(), max(picture.size) // FALIP_SIDE_PER_LINE
    if width_px > 0:
        ImageDraw.Draw(picture).ellipse(ellipse, outline=PALETTE["red"], width=width_px)
    return picture
