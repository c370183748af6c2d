"""ReCLIP's box prompts in native space: blur and shade (visual_prompts spec section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.prompts import visual_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.photo import Photo


@visual_prompt("reclip_blur", space="native", region="box")
def reclip_blur(photo: Photo, *, enlarge_px: float = 0.0, sigma_px: float = 100.0) -> Tensor:
    """Blur the outside of each box, `sigma_px` in pixels of the image: the B4 of the published ReCLIP row."""
    return photo.keep(photo.rectangle_regions(enlarge_px), photo.blurred(sigma_px))


@visual_prompt("reclip_shade", space="native", region="box")
def reclip_shade(photo: Photo, *, enlarge_px: float = 0.0, color: str = "cpt_red") -> Tensor:
    """Lay a half transparent colour over each box: the B2 of the published CPT-adapted row."""
    return photo.shade(photo.rectangle_regions(enlarge_px), color)
