"""From a prompt to the input of an image encoder.

Canvas prompts follow FGVP (normalise, fit to the canvas side, fit to the encoder; visual_prompts spec section
8), native prompts follow CLIP's own preprocessing (section 9).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from operators.prompts import Parameter, VisualPrompt
from operators.prompts.canvas import Canvas, Fit

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def render_canvas(prompt: VisualPrompt, canvas: Canvas, **parameters: Parameter) -> Tensor:
    """Draw a canvas prompt once per region.

    Returns:
        uint8 (N, h, w, 3) on the device of the canvas.

    Raises:
        ValueError: if the prompt does not draw on a canvas, or returns something else than N such pictures.
    """
    if prompt.space != "canvas":
        raise ValueError(f"visual prompt {prompt.name!r} draws in {prompt.space} space, not on a canvas")
    views: Tensor = prompt.draw(canvas, **parameters)
    if views.dtype != torch.uint8 or tuple(views.shape) != (len(canvas), *canvas.size_px, 3):
        raise ValueError(f"visual prompt {prompt.name!r} returned {views.dtype} {tuple(views.shape)}")
    return views


def canvas_to_input(
    views_u8: Tensor,
    *,
    canvas_px: int = 384,
    fit: Fit = "resize",
    size_px: int = 224,
    boxes_xyxy: NDArray[np.float32] | None = None,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Tensor:
    """Normalise rendered canvases and fit them to the encoder, both times without antialiasing.

    Args:
        views_u8: uint8 (N, h, w, 3).
        canvas_px: side of the intermediate square.
        fit: `resize` (published) squashes the canvas, `padding` adds zeros right and below, `center_crop` and
            `bias_crop` cut a square from the middle or around each box.
        size_px: side r of the encoder's input.
        boxes_xyxy: float32 (N, 4), `Canvas.boxes_xyxy`; needed for `bias_crop` only.
        mean: per channel, of values in 0..1.
        std: per channel, of values in 0..1.

    Returns:
        float32 (N, 3, r, r) on the same device.

    Raises:
        ValueError: if `fit` is unknown, boxes are missing, or the canvas does not suit `fit`.
    """
    scale = 255 * views_u8.new_tensor([mean, std], dtype=torch.float32)
    pixels = ((views_u8.float() - scale[0]) / scale[1]).permute(0, 3, 1, 2)
    return _squash(_fit(pixels, canvas_px, fit, boxes_xyxy), size_px).contiguous()


def native_to_input(
    pictures: Sequence[Image.Image],
    size_px: int = 224,
    *,
    device: torch.device | str = "cpu",
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Tensor:
    """Squash pictures to the encoder's square with Pillow's bicubic filter and normalise them.

    Args:
        pictures: N RGB images of any size.
        size_px: side r of the encoder's input.
        device: where the arithmetic after the resizing happens and the result lies.
        mean: per channel, of values in 0..1.
        std: per channel, of values in 0..1.

    Returns:
        float32 (N, 3, r, r).
    """
    squashed = [
        np.asarray(picture.resize((size_px, size_px), Image.Resampling.BICUBIC)) for picture in pictures
    ]
    views_u8 = np.stack(squashed) if squashed else np.zeros((0, size_px, size_px, 3), dtype=np.uint8)
    levels = torch.from_numpy(views_u8).to(device).permute(0, 3, 1, 2).float() / 255
    center, spread = levels.new_tensor([mean, std])[:, :, None, None]
    return ((levels - center) / spread).contiguous()


def _squash(pixels: Tensor, side_px: int) -> Tensor:
    if len(pixels) == 0:
        return pixels.new_empty(0, 3, side_px, side_px)
    if tuple(pixels.shape[2:]) == (side_px, side_px):
        return pixels
    return F.interpolate(pixels, (side_px, side_px), mode="bilinear", align_corners=False)


def _fit(pixels: Tensor, side_px: int, fit: Fit, boxes_xyxy: NDArray[np.float32] | None) -> Tensor:
    height, width = pixels.shape[2:]
    if fit == "resize":
        return _squash(pixels, side_px)
    if fit == "padding":
        if max(height, width) > side_px:
            raise ValueError(f"a canvas of {height} x {width} cannot be padded to {side_px}")
        return F.pad(pixels, (0, side_px - width, 0, side_px - height))
    if min(height, width) < side_px:
        raise ValueError(f"no square of {side_px} can be cut from a canvas of {height} x {width}")
    if fit == "center_crop":
        top, left = round((height - side_px) / 2), round((width - side_px) / 2)
        return pixels[:, :, top : top + side_px, left : left + side_px]
    if fit == "bias_crop":
        if boxes_xyxy is None or len(boxes_xyxy) != len(pixels):
            raise ValueError("fit 'bias_crop' needs one box per view")
        center = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
        corner = np.clip(center - side_px / 2, 0, [width - side_px, height - side_px]).astype(int)
        cuts = [
            view[:, y : y + side_px, x : x + side_px] for view, (x, y) in zip(pixels, corner, strict=True)
        ]
        return torch.stack(cuts) if cuts else pixels[:, :, :side_px, :side_px]
    raise ValueError(f"unknown fit {fit!r}")
