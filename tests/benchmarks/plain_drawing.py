"""The straightforward way to draw D1, D3 and D4: one region after the other with Pillow and OpenCV.

This is what our drawing is timed against, and what its pixels must equal. It follows visual_prompts spec
sections 3 to 5 as a careful programmer would write it down: the picture and the masks are resized once per
prompt, and every region is drawn on a fresh copy.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
RED = (255, 0, 0)


def resized(
    image: Image.Image, masks_NHW: NDArray[np.bool_], side_px: int
) -> tuple[Image.Image, list[Pixels]]:
    """Resize the picture to the short side `side_px`, and the masks with it."""
    scale = side_px / min(image.size)
    width, height = (int(length * scale + 0.5) for length in image.size)
    planes = torch.from_numpy(masks_NHW)[:, None].float()
    planes = F.interpolate(planes, (height, width), mode="bilinear", align_corners=False)[:, 0] > 0
    return image.resize((width, height), Image.Resampling.BILINEAR), [*planes.numpy().view(np.uint8)]


def contour(image: Image.Image, masks_NHW: NDArray[np.bool_], side_px: int) -> list[Pixels]:
    """D1: outline every contour of the mask in red."""
    canvas, masks = resized(image, masks_NHW, side_px)
    drawn = []
    for mask in masks:
        contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        drawn.append(cv2.drawContours(np.array(canvas), contours, -1, RED, 2))
    return drawn


def grayscale_mask(image: Image.Image, masks_NHW: NDArray[np.bool_], side_px: int) -> list[Pixels]:
    """D3: everything but the mask in grey, with the published exchange of red and blue."""
    canvas, masks = resized(image, masks_NHW, side_px)
    drawn = []
    for mask in masks:
        pixels = np.array(canvas)
        gray = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2RGB)
        drawn.append(cv2.copyTo(pixels, mask, gray))
    return drawn


def blur_mask(image: Image.Image, masks_NHW: NDArray[np.bool_], side_px: int) -> list[Pixels]:
    """D4: everything but the mask blurred with a sigma of 100 pixels."""
    canvas, masks = resized(image, masks_NHW, side_px)
    drawn = []
    for mask in masks:
        blurred = canvas.filter(ImageFilter.GaussianBlur(100))
        blurred.paste(canvas, mask=Image.fromarray(mask * np.uint8(255)))
        drawn.append(np.array(blurred))
    return drawn


PROMPTS = {"D1": contour, "D3": grayscale_mask, "D4": blur_mask}
