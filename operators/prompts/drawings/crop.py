"""Crop prompts: ReCLIP's crop of the photo (paper code P), and FGVP's crops of the canvas (A2 and others).

A crop is as large as its box, so these prompts return a list of pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.prompts import visual_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from operators.prompts.canvas import Canvas
    from operators.prompts.photo import Photo


@visual_prompt("crop", code="P", space="native", region="box", crops=True)
def crop(photo: Photo, *, enlarge_px: float = 0.0) -> list[Tensor]:
    """Cut each box out of the image, as ReCLIP does (visual_prompts spec section 9).

    Corners are rounded half to even, as Pillow's crop does. A crop thinner than one pixel is widened to one
    pixel inside the image; the reference fails there.
    """
    return photo.crops(enlarge_px)


@visual_prompt("raw", code="I", space="native", region="none")
def raw(photo: Photo) -> Tensor:
    """Return the unedited image once per box (visual_prompts spec section 1, code I)."""
    return photo.sharp.expand(len(photo), *photo.size_px, 3)


@visual_prompt("fgvp_crop", space="canvas", region="box", crops=True)
def fgvp_crop(canvas: Canvas) -> list[Tensor]:
    """Cut each box out and resize it as FGVP resizes a canvas (visual_prompts spec section 4.2)."""
    return [crop.sharp for crop in canvas.crops()]


@visual_prompt("cpt", code="A2", space="canvas", region="box", crops=True)
def cpt(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> list[Tensor]:
    """Tint the whole crop (Colorful Crop)."""
    return [crop.tint(crop.everything(), mask_color, alpha)[0] for crop in canvas.crops()]


@visual_prompt("cpt_seg", space="canvas", region="mask", crops=True)
def cpt_seg(canvas: Canvas, *, mask_color: str = "green", alpha: float = 0.5) -> list[Tensor]:
    """Tint the mask inside the crop."""
    return [crop.tint(crop.masks, mask_color, alpha)[0] for crop in canvas.crops()]


@visual_prompt("ov_seg", space="canvas", region="mask", crops=True)
def ov_seg(canvas: Canvas, *, mask_color: str = "green") -> list[Tensor]:
    """Paint everything but the mask inside the crop; `grey` gives the look of OVSeg."""
    return [crop.stroke(~crop.masks, mask_color)[0] for crop in canvas.crops()]


@visual_prompt("blur_seg", space="canvas", region="mask", crops=True)
def blur_seg(canvas: Canvas, *, sigma_px: float = 100.0) -> list[Tensor]:
    """Blur everything but the mask inside the crop."""
    return [crop.keep(crop.masks, crop.blurred(sigma_px))[0] for crop in canvas.crops()]
