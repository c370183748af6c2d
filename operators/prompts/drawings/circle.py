"""Circle prompts: FGVP's ellipse in canvas space (paper codes C1 to C4) and FALIP's in native space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.prompts import GrayWeights, visual_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.canvas import Canvas
    from operators.prompts.photo import Photo

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
def falip_circle(photo: Photo, *, enlarge_px: float = 0.0) -> Tensor:
    """Outline the ellipse in each box in red, as FALIP draws RedCircle (visual_prompts spec section 9).

    The line is 1/200 of the long side of the image wide; below 200 pixels nothing is drawn, as published.
    """
    return photo.stroke(photo.ellipse_lines(enlarge_px, max(photo.size_px) // FALIP_SIDE_PER_LINE), "red")


@visual_prompt("falip_blur", space="native", region="box")
def falip_blur(photo: Photo, *, enlarge_px: float = 0.0, sigma_px: float = 100.0) -> Tensor:
    """Blur the outside of the ellipse in each box: "Blur" of FALIP's classification (Tables 2, 13, 14).

    As published, the ellipse has a rim one pixel wide where sharp and blurred picture are blended. `sigma_px`
    is in pixels of the image.
    """
    blurred = photo.blurred(sigma_px)
    inside, rims = photo.rimmed_ellipses(enlarge_px, FALIP_RIM_LEVEL)
    return photo.keep(inside, photo.mixed(rims, blurred, FALIP_RIM_LEVEL))


@visual_prompt("falip_circle_blur", space="native", region="box")
def falip_circle_blur(photo: Photo, *, enlarge_px: float = 0.0, sigma_px: float = 100.0) -> Tensor:
    """Blur the outside of the ellipse in each box and outline it in red (visual_prompts spec section 9)."""
    blurred = falip_blur(photo, enlarge_px=enlarge_px, sigma_px=sigma_px)
    return falip_circle(photo.painted(blurred), enlarge_px=enlarge_px)
