"""From an image with its regions to what CLIP is shown: the views of a variant."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from operators.catalog import MaskSource, Variant
from operators.geometry import Boxes, xywh_to_xyxy
from operators.images import to_array
from operators.masks import BoolMasks
from operators.prompts.canvas import Canvas
from operators.prompts.render import canvas_to_input, native_to_input, render_canvas
from operators.sam_frame import boxes_to_frame, to_frame

FindMasks = Callable[[MaskSource], BoolMasks]


class ImageViews:
    """Draws variants for the regions of one image; canvases and drawings are shared between encoders.

    Args:
        image: RGB.
        boxes_xywh: N x 4, pixels of `image`.
        masks_of: gives the masks (N, H, W) of a mask source: `box` in the frame, `exact` in image pixels.
        frame_px: long side of the SAM frame.
        device: where pixels are computed.
    """

    def __init__(
        self,
        image: Image.Image,
        boxes_xywh: Boxes,
        *,
        masks_of: FindMasks | None = None,
        frame_px: int = 1024,
        device: str = "cpu",
    ) -> None:
        self._image = image
        self._boxes_xywh = boxes_xywh
        self._masks_of = masks_of
        self._frame_px = frame_px
        self._device = device
        self._canvas = cache(self._make_canvas)
        self._drawn = cache(self._draw)

    def views(
        self, variant: Variant, size_px: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> Tensor:
        """Return the model input of every region, float32 (N, 3, size_px, size_px) on the device."""
        if len(self._boxes_xywh) == 0:
            return torch.zeros(0, 3, size_px, size_px, device=self._device)
        if variant.definition.space == "native":
            pictures = variant.definition.draw(self._image, self._boxes_xywh, **dict(variant.parameters))
            return native_to_input(pictures, size_px, device=self._device, mean=mean, std=std)
        return canvas_to_input(
            self._drawn(variant), canvas_px=variant.canvas_px, size_px=size_px, mean=mean, std=std
        )

    def _draw(self, variant: Variant) -> Tensor:
        canvas = self._canvas(variant.canvas_source, variant.mask_source, variant.canvas_px)
        return render_canvas(variant.definition, canvas, **dict(variant.parameters))

    def _make_canvas(self, canvas_source: str, mask_source: MaskSource, canvas_px: int) -> Canvas:
        pixels, boxes_xyxy = to_array(self._image), xywh_to_xyxy(self._boxes_xywh)
        if canvas_source == "sam_frame":
            boxes = boxes_to_frame(boxes_xyxy, (self._image.height, self._image.width), self._frame_px)
            pixels = to_frame(pixels, self._frame_px)
        else:
            boxes = boxes_xyxy.astype(np.float32)
        masks = None
        if mask_source != "none":
            assert self._masks_of is not None, "a variant that draws with masks was given none"
            masks = torch.from_numpy(self._masks_of(mask_source))
        start = torch.from_numpy(pixels).to(self._device)
        return Canvas(start, boxes, masks, canvas_px=canvas_px)
