"""FGVP's space: a resized image, shapes drawn by OpenCV (visual_prompts spec sections 3 to 6)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.pixels.resize import Side, canvas_size_px, pillow_resize, resize_masks
from operators.prompts import Fit
from operators.prompts.sheet import Plane, Sheet

KEYPOINT_RADIUS = 0.06
# A crop one pixel wide would become hundreds of canvases long; nothing in it is lost by stopping here.
MAX_ASPECT = 16


class Canvas(Sheet):
    """A picture resized for drawing, with the regions that prompts point at.

    Shapes below: N regions, canvas h x w; see `Sheet` for pictures and planes.

    Attributes:
        boxes_xyxy: float32 (N, 4), canvas pixels, clamped to the canvas.
        centers_xy: float32 (N, 2), centres of the boxes before clamping.
    """

    def __init__(
        self,
        image_u8: Tensor,
        boxes_xyxy: NDArray[np.float32],
        masks_NHW: Tensor | None = None,
        *,
        canvas_px: int = 384,
        fit: Fit = "resize",
        crop_pct: float = 1.0,
    ) -> None:
        """Resize a start image and carry its regions along.

        Args:
            image_u8: start image, uint8 (H, W, 3).
            boxes_xyxy: float32 (N, 4), pixels of the start image.
            masks_NHW: bool or float logits (N, H, W) in start-image pixels; best on the CPU, where contours
                are found. Without them, mask prompts raise.
            canvas_px: length of the short side (of the long side for `fit="padding"`).
            fit: how the canvas is going to be fitted to the encoder (see `operators.prompts.render`).
            crop_pct: the side becomes `canvas_px / crop_pct`.

        Raises:
            ValueError: if shapes or dtypes do not fit together.
        """
        boxes = np.asarray(boxes_xyxy, dtype=np.float32).reshape(-1, 4)
        if image_u8.ndim != 3:
            raise ValueError(f"expected a start image (H, W, 3), got {tuple(image_u8.shape)}")
        old_h, old_w = image_u8.shape[:2]
        if masks_NHW is not None and tuple(masks_NHW.shape) != (len(boxes), old_h, old_w):
            raise ValueError(f"masks {tuple(masks_NHW.shape)} for {len(boxes)} boxes on {old_h} x {old_w}")
        self.canvas_px, self.fit, self.crop_pct = canvas_px, fit, crop_pct
        self._start, self._start_boxes, self._start_masks = image_u8, boxes, masks_NHW
        height, width = size_px = self._canvas_size(old_h, old_w)
        super().__init__(pillow_resize(image_u8, size_px), boxes)
        scale_xy = np.array([width / old_w, height / old_h], dtype=np.float32)
        self.centers_xy = (boxes[:, :2] + boxes[:, 2:]) / 2 * scale_xy
        limits = np.array([width - 1, height - 1] * 2, dtype=np.float32)
        self.boxes_xyxy = np.clip(boxes * np.tile(scale_xy, 2), 0, limits)

    # Planes (N, h, w), each drawn once.

    @property
    def masks(self) -> Tensor:
        """The masks resized to the canvas. Raises ValueError if the canvas has none."""
        return self._shape(("masks",), lambda: self._host_masks().to(self.device))

    def everything(self) -> Tensor:
        """The whole canvas as the region."""
        return torch.ones((len(self), *self.size_px), dtype=torch.bool, device=self.device)

    def box_regions(self) -> Tensor:
        """Filled boxes, both edges inclusive."""
        return self._rectangles(cv2.FILLED)

    def box_lines(self, thickness_px: int) -> Tensor:
        """Outlines of the boxes."""
        return self._rectangles(_line(thickness_px))

    def ellipse_regions(self) -> Tensor:
        """Filled ellipses inscribed in the boxes."""
        return self._ellipses(cv2.FILLED)

    def ellipse_lines(self, thickness_px: int) -> Tensor:
        """Outlines of the inscribed ellipses."""
        return self._ellipses(_line(thickness_px))

    def keypoint_lines(self, thickness_px: int) -> Tensor:
        """Circle outlines of radius 0.06 times `canvas_px` around the centres of the boxes."""
        line, radius_px = _line(thickness_px), int(KEYPOINT_RADIUS * self.canvas_px)

        def draw(plane: Plane, index: int) -> None:
            cv2.circle(plane, _point(self.centers_xy[index]), radius_px, 1, line)

        return self._shape(("keypoints", line), lambda: self._draw(draw))

    def contour_lines(self, thickness_px: int, contour_scale: float = 1.0) -> Tensor:
        """Outlines of the masks, holes included, each contour scaled about its centroid (section 6)."""
        line, masks = _line(thickness_px), self._host_masks()

        def draw(plane: Plane, index: int) -> None:
            cv2.drawContours(plane, _contours(masks[index], contour_scale), -1, 1, line)

        return self._shape(("contours", line, contour_scale), lambda: self._draw(draw))

    def scaled(self, regions: Tensor, contour_scale: float) -> Tensor:
        """Redraw regions from their contours, each scaled about its own centroid; 1 changes nothing."""

        def draw(plane: Plane, index: int) -> None:
            cv2.drawContours(plane, _contours(regions[index], contour_scale), -1, 1, cv2.FILLED)

        return regions if contour_scale == 1 else self._draw(draw)

    def crops(self) -> list[Canvas]:
        """Cut each box out of the start image and its mask; return one canvas with one region a box (4.2).

        Boxes are truncated to whole pixels, at least one, and clamped to the image; the published code fails
        on negative corners. After painting, what was painted is cut.
        """
        return self._once(("crops",), lambda: [self._crop(index) for index in range(len(self))])

    def painted(self, pictures: Tensor) -> Canvas:
        """Return a canvas with the same regions that starts from one picture a region, (N, h, w, 3)."""
        masks = None if self._start_masks is None else self._host_masks()
        canvas = super().painted(pictures)
        canvas._start, canvas._start_boxes, canvas._start_masks = pictures, self.boxes_xyxy, masks
        return canvas

    def _crop(self, index: int) -> Canvas:
        start = self._start[index] if self._start.ndim == 4 else self._start
        left, top, right, bottom = self._start_boxes[index]
        x1, x2 = _slice(left, right, start.shape[1])
        y1, y2 = _slice(top, bottom, start.shape[0])
        masks = None if self._start_masks is None else self._start_masks[index, None, y1:y2, x1:x2]
        crop = Canvas(
            start[y1:y2, x1:x2],
            np.array([[0, 0, x2 - x1, y2 - y1]], dtype=np.float32),
            masks,
            canvas_px=self.canvas_px,
            fit=self.fit,
            crop_pct=self.crop_pct,
        )
        crop.keys = cache(partial(_key_of, self.keys, index))
        return crop

    def _canvas_size(self, height_px: int, width_px: int) -> tuple[int, int]:
        side: Side = "long" if self.fit == "padding" else "short"
        size_px = canvas_size_px(height_px, width_px, self.canvas_px / self.crop_pct, side)
        limit_px = MAX_ASPECT * min(size_px)
        if max(size_px) > limit_px and side == "short":
            warnings.warn(
                f"a picture of {height_px} x {width_px} is drawn with an aspect of 16", stacklevel=3
            )
            size_px = min(size_px[0], limit_px), min(size_px[1], limit_px)
        return size_px

    def _host_masks(self) -> Tensor:
        """The resized masks, on the device where they were given."""
        masks = self._start_masks
        if masks is None:
            raise ValueError("this prompt needs masks and the canvas has none")
        return self._shape(("host masks",), lambda: resize_masks(masks, self.size_px))

    def _rectangles(self, thickness: int) -> Tensor:
        def draw(plane: Plane, index: int) -> None:
            x1, y1, x2, y2 = self.boxes_xyxy[index]
            cv2.rectangle(plane, _point((x1, y1)), _point((x2, y2)), 1, thickness)

        return self._shape(("rectangles", thickness), lambda: self._draw(draw))

    def _ellipses(self, thickness: int) -> Tensor:
        def draw(plane: Plane, index: int) -> None:
            low, high = self.boxes_xyxy[index, :2], self.boxes_xyxy[index, 2:]
            center, axes = low + 0.5 * (high - low), (high - low) / 2
            cv2.ellipse(plane, _point(center), _point(axes), 0, 0, 360, 1, thickness)

        return self._shape(("ellipses", thickness), lambda: self._draw(draw))


def _key_of(keys: Callable[[], list[str]], index: int) -> list[str]:
    return [keys()[index]]


def _point(xy: Sequence[np.floating] | NDArray[np.floating]) -> tuple[int, int]:
    """Truncate each coordinate toward zero (spec section 3 step 8)."""
    return int(xy[0]), int(xy[1])


def _slice(low: float, high: float, side_px: int) -> tuple[int, int]:
    """Truncate a side of a crop and keep at least one pixel of it inside the image."""
    first = min(max(int(low), 0), side_px - 1)
    return first, max(min(int(high), side_px), first + 1)


def _line(thickness_px: int) -> int:
    # OpenCV takes a negative thickness for "filled".
    if thickness_px < 1:
        raise ValueError(f"thickness_px must be at least 1, got {thickness_px}")
    return thickness_px


def _contours(region: Tensor, scale: float) -> list[NDArray[np.int32]]:
    plane = region.cpu().numpy().view(np.uint8)
    contours, _ = cv2.findContours(plane, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return [*contours] if scale == 1 else [_scale_about_centroid(contour, scale) for contour in contours]


def _scale_about_centroid(contour: NDArray[np.int32], scale: float) -> NDArray[np.int32]:
    moments = cv2.moments(contour)
    if moments["m00"] == 0:
        return contour
    center = [int(moments["m10"] / moments["m00"]), int(moments["m01"] / moments["m00"])]
    return ((contour - center) * scale + center).astype(np.int32)
