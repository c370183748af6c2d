"""Native space of ReCLIP and FALIP: the stored image, shapes drawn by Pillow (spec section 9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from operators.pixels.geometry import Boxes, grown_xyxy, xywh_to_xyxy
from operators.prompts.sheet import Sheet, choose

OPAQUE = 255
SHADE_LEVEL = 127


class Photo(Sheet):
    """An image at its own size with boxes. Boxes are grown by `enlarge_px` on each side, then clamped.

    Shapes below: N regions, image H x W; see `Sheet` for pictures and planes.

    Attributes:
        boxes_xywh: float64 (N, 4), pixels of the image.
    """

    def __init__(self, image_u8: Tensor, boxes_xywh: Boxes) -> None:
        """Take an image, uint8 (H, W, 3), and its boxes (N, 4)."""
        self.boxes_xywh = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
        super().__init__(image_u8, xywh_to_xyxy(self.boxes_xywh))

    def rectangle_regions(self, enlarge_px: float) -> Tensor:
        """Filled boxes, corners truncated, both edges inclusive."""
        draw = partial(ImageDraw.ImageDraw.rectangle, fill=1)
        return self._levels(("rectangles",), draw, enlarge_px).view(torch.bool)

    def ellipse_lines(self, enlarge_px: float, width_px: int) -> Tensor:
        """Outlines of the ellipses in the boxes, lying inside the box; none for a width of 0."""
        draw = partial(ImageDraw.ImageDraw.ellipse, outline=1, width=width_px)
        return self._levels(("ellipse lines", width_px), draw, enlarge_px).view(torch.bool)

    def rimmed_ellipses(self, enlarge_px: float, rim_level: int) -> tuple[Tensor, Tensor]:
        """Insides and one-pixel rims of the ellipses in the boxes."""
        draw = partial(ImageDraw.ImageDraw.ellipse, fill=OPAQUE, outline=rim_level)
        levels = self._levels(("ellipses", rim_level), draw, enlarge_px)
        return levels == OPAQUE, levels == rim_level

    def mixed(self, rims: Tensor, other: Tensor, level: int) -> Tensor:
        """The picture `other` with the sharp one pasted through a mask of one level (paste rule, 4.1)."""
        total = self.sharp.int() * level + other.int() * (OPAQUE - level) + 128
        return choose(rims, (((total >> 8) + total) >> 8).to(torch.uint8), other)

    def shade(self, regions: Tensor, color: str) -> Tensor:
        """The sharp picture under a colour of opacity 127/255 in the regions: Pillow's alpha composite."""
        tints = SHADE_LEVEL * self.sharp.new_tensor(self._colors(color), dtype=torch.int32)[:, None, None]
        total = tints + (OPAQUE - SHADE_LEVEL) * self.sharp.int()
        return choose(regions, ((2 * total + OPAQUE) // (2 * OPAQUE)).to(torch.uint8), self.sharp)

    def crops(self, enlarge_px: float) -> list[Tensor]:
        """Cut the boxes out, corners rounded half to even, at least one pixel each: N pictures (h, w, 3)."""
        height, width = self.size_px
        crops = []
        for index, (left, top, right, bottom) in enumerate(self._corners(enlarge_px)):
            x1, x2 = _at_least_one_pixel(round(left), round(right), width)
            y1, y2 = _at_least_one_pixel(round(top), round(bottom), height)
            picture = self.sharp[index] if self.sharp.ndim == 4 else self.sharp
            crops.append(picture[y1:y2, x1:x2])
        return crops

    def _corners(self, enlarge_px: float) -> Boxes:
        height, width = self.size_px
        return np.clip(grown_xyxy(self.boxes_xywh, enlarge_px), 0, [width, height] * 2)

    def _levels(self, key: tuple[str | int, ...], draw: Callable[..., None], enlarge_px: float) -> Tensor:
        """Draw one grey picture a box with Pillow: uint8 (N, H, W)."""
        height, width = self.size_px

        def draw_all() -> Tensor:
            planes = np.zeros((len(self), height, width), dtype=np.uint8)
            for plane, corners in zip(planes, self._corners(enlarge_px), strict=True):
                level = Image.new("L", (width, height))
                draw(ImageDraw.Draw(level), [int(v) for v in corners])
                plane[:] = np.asarray(level)
            return torch.from_numpy(planes).to(self.device)

        return self._shape((*key, enlarge_px), draw_all)


def _at_least_one_pixel(low: int, high: int, side_px: int) -> tuple[int, int]:
    if high > low:
        return low, high
    low = min(low, side_px - 1)
    return low, low + 1
