"""From a prompt to the input of an image encoder.

Canvas prompts follow FGVP (normalise, fit to the canvas side, fit to the encoder; visual_prompts spec section
8), native prompts follow CLIP's own preprocessing (section 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from operators.pixels.clip_input import CLIP_MEAN, CLIP_STD, Filter
from operators.pixels.resize import pillow_resize
from operators.prompts import Fit, Parameter, Space, VisualPrompt
from operators.prompts.canvas import Canvas
from operators.prompts.photo import Photo
from operators.prompts.sheet import Sheet

SHEETS: dict[Space, type[Sheet]] = {"native": Photo, "canvas": Canvas}

# One picture a region, uint8 (N, h, w, 3), or N pictures (h, w, 3) that differ in size.
Pictures = Tensor | list[Tensor]


def render(prompt: VisualPrompt, sheet: Sheet, **parameters: Parameter) -> Pictures:
    """Draw a prompt once per region.

    Returns:
        uint8 (N, h, w, 3), or for a prompt that crops N pictures (h, w, 3), on the device of the sheet.

    Raises:
        ValueError: if the prompt does not draw on such a sheet, or returns something else than such pictures.
    """
    if not isinstance(sheet, SHEETS[prompt.space]):
        raise ValueError(f"visual prompt {prompt.name!r} draws in {prompt.space} space, not on {sheet!r}")
    drawn: Pictures = prompt.draw(sheet, **parameters)
    if prompt.crops:
        fits = len(drawn) == len(sheet) and all(p.ndim == 3 and p.shape[2] == 3 for p in drawn)
    else:
        fits = isinstance(drawn, Tensor) and drawn.shape == (len(sheet), *sheet.size_px, 3)
    if not fits or any(picture.dtype != torch.uint8 for picture in drawn):
        shapes = tuple(drawn.shape) if isinstance(drawn, Tensor) else [tuple(p.shape) for p in drawn]
        raise ValueError(f"visual prompt {prompt.name!r} returned {shapes} for {len(sheet)} regions")
    return drawn


def canvas_to_input(
    views_u8: Pictures,
    *,
    canvas_px: int = 384,
    fit: Fit = "resize",
    size_px: int = 224,
    boxes_xyxy: NDArray[np.float32] | None = None,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Tensor:
    """Normalise rendered canvases and fit them to the encoder, both times without antialiasing.

    As published, crops are squashed for `resize`; for any other `fit` their top left square is taken, with
    zeros where there is none.

    Args:
        views_u8: uint8 (N, h, w, 3), or N pictures (h, w, 3) of any size.
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
    if isinstance(views_u8, Tensor):
        fitted = _fit(_normalised(views_u8, mean, std), canvas_px, fit, boxes_xyxy)
        return _squash(fitted, size_px).contiguous()
    fit_one = _squash if fit == "resize" else _top_left
    crops = [fit_one(_normalised(view[None], mean, std), canvas_px) for view in views_u8]
    return _squash(torch.cat(crops) if crops else torch.zeros(0, 3, canvas_px, canvas_px), size_px)


def native_to_input(
    pictures: Pictures,
    size_px: int = 224,
    *,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
    interpolation: Filter = "bicubic",
) -> Tensor:
    """Squash pictures to the encoder's square with Pillow's filter and normalise them.

    Args:
        pictures: uint8 (N, h, w, 3), or N pictures (h, w, 3) of any size.
        size_px: side r of the encoder's input.
        mean: per channel, of values in 0..1.
        std: per channel, of values in 0..1.
        interpolation: `bicubic` as CLIP was trained, or what the weights ask for.

    Returns:
        float32 (N, 3, r, r) on the same device.
    """
    if not isinstance(pictures, Tensor):
        one = partial(native_to_input, size_px=size_px, mean=mean, std=std, interpolation=interpolation)
        inputs = [one(picture[None]) for picture in pictures]
        return torch.cat(inputs) if inputs else torch.zeros(0, 3, size_px, size_px)
    squashed = pillow_resize(pictures, (size_px, size_px), interpolation)
    levels = squashed.permute(0, 3, 1, 2).float() / 255
    center, spread = levels.new_tensor([mean, std])[:, :, None, None]
    return ((levels - center) / spread).contiguous()


def _normalised(views_u8: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    center, spread = 255 * views_u8.new_tensor([mean, std], dtype=torch.float32)[:, :, None, None]
    return views_u8.permute(0, 3, 1, 2).float().sub_(center).div_(spread)


def _squash(pixels: Tensor, side_px: int) -> Tensor:
    if len(pixels) == 0:
        return pixels.new_empty(0, 3, side_px, side_px)
    if tuple(pixels.shape[2:]) == (side_px, side_px):
        return pixels
    return F.interpolate(pixels, (side_px, side_px), mode="bilinear", align_corners=False)


def _top_left(pixels: Tensor, side_px: int) -> Tensor:
    """Add zeros right and below, or cut there what is too much."""
    height, width = pixels.shape[2:]
    return F.pad(pixels, (0, side_px - width, 0, side_px - height))


def _fit(pixels: Tensor, side_px: int, fit: Fit, boxes_xyxy: NDArray[np.float32] | None) -> Tensor:
    height, width = pixels.shape[2:]
    if fit == "resize":
        return _squash(pixels, side_px)
    if fit == "padding":
        if max(height, width) > side_px:
            raise ValueError(f"a canvas of {height} x {width} cannot be padded to {side_px}")
        return _top_left(pixels, side_px)
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
