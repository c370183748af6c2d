"""ReCLIP's box prompts in native space: blur and shade (visual_prompts spec section 9)."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFilter

from operators.geometry import Boxes
from operators.prompts import visual_prompt
from operators.prompts.colors import PALETTE
from operators.prompts.crop import clamped_corners

SHADE_ALPHA = 127


@visual_prompt("reclip_blur", space="native", region="box")
def reclip_blur(
    image: Image.Image, boxes_xywh: Boxes, *, enlarge_px: float = 0.0, sigma_px: float = 100.0
) -> list[Image.Image]:
    """Blur the outside of each box: the B4 of the published ReCLIP row.

    Args:
        image: RGB, size (W, H).
        boxes_xywh: N x 4, pixels of `image`.
        enlarge_px: growth of the boxes on each side, clamped to the image.
        sigma_px: strength of the blur, pixels of `image`.

    Returns:
        N RGB images of size (W, H).
    """
    blurred = image.filter(ImageFilter.GaussianBlur(sigma_px))
    inside = _rectangles(image, boxes_xywh, enlarge_px, level=255)
    return [Image.composite(image, blurred, mask) for mask in inside]


@visual_prompt("reclip_shade", space="native", region="box")
def reclip_shade(
    image: Image.Image, boxes_xywh: Boxes, *, enlarge_px: float = 0.0, color: str = "cpt_red"
) -> list[Image.Image]:
    """Lay a half transparent colour over each box: the B2 of the published CPT-adapted row.

    Args:
        image: RGB, size (W, H).
        boxes_xywh: N x 4, pixels of `image`.
        enlarge_px: growth of the boxes on each side, clamped to the image.
        color: palette name of the overlay.

    Returns:
        N RGB images of size (W, H).
    """
    pictures = []
    for alpha in _rectangles(image, boxes_xywh, enlarge_px, level=SHADE_ALPHA):
        overlay = Image.new("RGBA", image.size, PALETTE[color])
        overlay.putalpha(alpha)
        pictures.append(Image.alpha_composite(image.convert("RGBA"), overlay).convert("RGB"))
    return pictures


def _rectangles(
    image: Image.Image, boxes_xywh: Boxes, enlarge_px: float, level: int
) -> Iterator[Image.Image]:
    """Draw each box, corners truncated and inclusive, into a one-channel picture."""
    for corners in clamped_corners(boxes_xywh, enlarge_px, image.width, image.height):
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).rectangle([int(v) for v in corners], fill=level)
        yield mask
