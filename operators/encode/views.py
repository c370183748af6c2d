"""From an image with its regions to what CLIP is shown: the views of a variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from operators.methods.variants import CANVAS_SETTINGS, MaskSource, Variant
from operators.pixels.clip_input import Filter
from operators.pixels.geometry import Boxes, xywh_to_xyxy
from operators.pixels.images import to_array
from operators.pixels.masks import BoolMasks
from operators.pixels.resize import interleaved
from operators.pixels.sam_frame import boxes_to_frame, to_frame
from operators.prompts.canvas import Canvas
from operators.prompts.photo import Photo
from operators.prompts.render import Pictures, canvas_to_input, native_to_input, render
from operators.prompts.sheet import Sheet, region_keys

FindMasks = Callable[[MaskSource], BoolMasks]


class ImageViews:
    """Draws variants for the regions of one image; canvases and drawings are shared between encoders.

    Attributes:
        boxes_xywh: R x 4, pixels of the image.

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
        self.boxes_xywh = boxes_xywh
        self._masks_of = masks_of
        self._frame_px = frame_px
        self._device = device
        # The same names in every space, so that a region has one random colour in an ensemble.
        self._keys = cache(partial(_keys_of, image, boxes_xywh))
        # Plain dictionaries: caches of bound methods would keep canvases alive until cycles are collected.
        self._sheets: dict[tuple[Any, ...], Sheet] = {}
        self._drawings: dict[Variant, Pictures] = {}

    @property
    def size_wh(self) -> tuple[int, int]:
        """Return width and height of the image in pixels."""
        return self._image.size

    def views(
        self,
        variant: Variant,
        size_px: int,
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: Filter = "bicubic",
    ) -> Tensor:
        """Return the model input of every region, float32 (N, 3, size_px, size_px) on the device.

        `interpolation` is that of drawings on the stored image; canvases have their own (spec section 8).
        """
        distinct = self.distinct_views(variant, size_px, mean, std, interpolation)
        return distinct.expand(len(self.boxes_xywh), *distinct.shape[1:])

    def distinct_views(
        self,
        variant: Variant,
        size_px: int,
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: Filter = "bicubic",
    ) -> Tensor:
        """Return what `views` does, but a view that all regions share only once: (1, 3, size_px, size_px)."""
        if len(self.boxes_xywh) == 0:
            return torch.zeros(0, 3, size_px, size_px, device=self._device)
        drawn, sheet = self._drawn(variant), self._sheet(variant)
        if all(prompt.region == "none" for prompt, _ in variant.layers) and variant.fit != "bias_crop":
            drawn = drawn[:1]
        if not isinstance(sheet, Canvas):
            return native_to_input(drawn, size_px, mean=mean, std=std, interpolation=interpolation)
        return canvas_to_input(
            drawn,
            canvas_px=variant.canvas_px,
            fit=variant.fit,
            size_px=size_px,
            boxes_xyxy=sheet.boxes_xyxy,
            mean=mean,
            std=std,
        )

    def pictures(self, variant: Variant) -> list[NDArray[np.uint8]]:
        """Return what is drawn for every region, before normalising and fitting: N uint8 RGB (h, w, 3)."""
        return [interleaved(picture.cpu()) for picture in self._drawn(variant)]

    def _drawn(self, variant: Variant) -> Pictures:
        if variant not in self._drawings:
            self._drawings[variant] = self._draw(variant)
        return self._drawings[variant]

    def _draw(self, variant: Variant) -> Pictures:
        sheet = self._sheet(variant)
        *below, (last, parameters_of_last) = variant.layers
        for prompt, parameters in below:
            drawn = render(prompt, sheet, **parameters)
            assert isinstance(drawn, Tensor), "a variant draws on pictures that differ in size"
            sheet = sheet.painted(drawn)
        return render(last, sheet, **parameters_of_last)

    def _sheet(self, variant: Variant) -> Sheet:
        native = variant.definition.space == "native"
        settings = variant.canvas_px, variant.fit, variant.crop_pct
        key = () if native else (variant.canvas_source, variant.mask_source, *settings)
        if key not in self._sheets:
            self._sheets[key] = self._make_photo() if native else self._make_canvas(variant)
        return self._sheets[key]

    def _make_photo(self) -> Photo:
        return Photo(torch.from_numpy(to_array(self._image)).to(self._device), self.boxes_xywh)

    def _make_canvas(self, variant: Variant) -> Canvas:
        pixels, boxes_xyxy = to_array(self._image), xywh_to_xyxy(self.boxes_xywh)
        if variant.canvas_source == "sam_frame":
            boxes = boxes_to_frame(boxes_xyxy, (self._image.height, self._image.width), self._frame_px)
            pixels = to_frame(pixels, self._frame_px)
        else:
            boxes = boxes_xyxy.astype(np.float32)
        masks = None
        if variant.mask_source != "none":
            assert self._masks_of is not None, "a variant that draws with masks was given none"
            masks = torch.from_numpy(self._masks_of(variant.mask_source))
        start = torch.from_numpy(pixels).to(self._device)
        settings: dict[str, Any] = {name: getattr(variant, name) for name in CANVAS_SETTINGS}
        canvas = Canvas(start, boxes, masks, **settings)
        canvas.keys = self._keys
        return canvas


def _keys_of(image: Image.Image, boxes_xywh: Boxes) -> list[str]:
    return region_keys(torch.from_numpy(to_array(image)), xywh_to_xyxy(boxes_xywh))
