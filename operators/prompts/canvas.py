"""What a canvas-space prompt draws on: one picture, its regions, and the few edits prompts are made of.

Every per-pixel edit happens on the picture's device, batched over regions, in integer arithmetic. Lines and
filled shapes are drawn by OpenCV on the CPU into one-bit planes. What several prompts or regions share
(blurred and grey picture, shapes) is made once. Source: visual_prompts spec sections 3 to 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.blur import gaussian_blur
from operators.prompts.colors import Color, parse_color
from operators.resize import Side, canvas_size_px, pillow_resize, resize_masks

Fit = Literal["resize", "padding", "center_crop", "bias_crop"]
GrayWeights = Literal["swapped", "rec601"]

KEYPOINT_RADIUS = 0.06
GRAY_BITS = 15
# Luma weights of OpenCV's grey conversion in 15-bit fixed point; the published code takes RGB for BGR.
GRAY_WEIGHTS: dict[str, Color] = {"swapped": (3735, 19235, 9798), "rec601": (9798, 19235, 3735)}

Plane = NDArray[np.uint8]
Made = TypeVar("Made")


class Canvas:
    """A picture resized for drawing, with the regions that prompts point at.

    Shapes below: N regions, canvas h x w. Pictures are uint8 RGB tensors, planes bool tensors (N, h, w), both
    on the device of the start image.

    Attributes:
        sharp: the resized picture (h, w, 3); never written to.
        boxes_xyxy: float32 (N, 4), canvas pixels, clamped to the canvas.
        centers_xy: float32 (N, 2), centres of the boxes before clamping.
        masks: the resized masks.
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
            masks_NHW: bool or float logits (N, H, W) in start-image pixels; best on the CPU, where they are
                resized the same way for every device of the image. Without them, mask prompts raise.
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
        side: Side = "long" if fit == "padding" else "short"
        self.size_px = height, width = canvas_size_px(old_h, old_w, canvas_px / crop_pct, side)
        self.canvas_px = canvas_px
        self.device = image_u8.device
        self.sharp = pillow_resize(image_u8, self.size_px)
        scale_xy = np.array([width / old_w, height / old_h], dtype=np.float32)
        self.centers_xy = (boxes[:, :2] + boxes[:, 2:]) / 2 * scale_xy
        limits = np.array([width - 1, height - 1] * 2, dtype=np.float32)
        self.boxes_xyxy = np.clip(boxes * np.tile(scale_xy, 2), 0, limits)
        self._masks = None if masks_NHW is None else resize_masks(masks_NHW, self.size_px)
        self._made: dict[tuple[Any, ...], Any] = {}

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    # Pictures (h, w, 3) and planes (N, h, w) that prompts choose from.

    @cached_property
    def masks(self) -> Tensor:
        """The masks as a plane (N, h, w). Raises ValueError if the canvas has none."""
        return self._required_masks().to(self.device)

    def blurred(self, sigma_px: float) -> Tensor:
        """The whole picture blurred as Pillow does, uint8 (h, w, 3) (spec section 5)."""
        return self._once(("blurred", sigma_px), lambda: gaussian_blur(self.sharp, sigma_px))

    def gray(self, weights: GrayWeights = "swapped") -> Tensor:
        """The picture in grey, uint8 (h, w, 3); `swapped` exchanges the weights of red and blue (4.4).

        Raises ValueError for other weights.
        """
        if weights not in GRAY_WEIGHTS:
            raise ValueError(f"gray_weights must be one of {', '.join(GRAY_WEIGHTS)}, got {weights!r}")
        return self._once(("gray", weights), lambda: _gray(self.sharp, GRAY_WEIGHTS[weights]))

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

        return self._once(("keypoints", line), lambda: self._draw(draw))

    def contour_lines(self, thickness_px: int, contour_scale: float = 1.0) -> Tensor:
        """Outlines of the masks, holes included, each contour scaled about its centroid (section 6)."""
        line, masks = _line(thickness_px), self._required_masks()

        def draw(plane: Plane, index: int) -> None:
            cv2.drawContours(plane, _contours(masks[index], contour_scale), -1, 1, line)

        return self._once(("contours", line, contour_scale), lambda: self._draw(draw))

    def scaled(self, regions: Tensor, contour_scale: float) -> Tensor:
        """Redraw regions from their contours, each scaled about its own centroid; 1 changes nothing."""

        def draw(plane: Plane, index: int) -> None:
            cv2.drawContours(plane, _contours(regions[index], contour_scale), -1, 1, cv2.FILLED)

        return regions if contour_scale == 1 else self._draw(draw)

    # Edits. Each takes planes (N, h, w) and returns fresh pictures, uint8 (N, h, w, 3).

    def keep(self, regions: Tensor, outside: Tensor) -> Tensor:
        """The sharp picture inside the regions and the picture `outside` (h, w, 3) elsewhere."""
        return torch.where(regions[..., None], self.sharp, outside)

    def stroke(self, lines: Tensor, color: str) -> Tensor:
        """The sharp picture with the lines in one opaque color."""
        return torch.where(lines[..., None], self.sharp.new_tensor(parse_color(color)), self.sharp)

    def tint(self, regions: Tensor, color: str, alpha: float) -> Tensor:
        """The sharp picture with the regions blended with a color of opacity `alpha` (section 4.3)."""
        tinted = self._once(("tint", color, alpha), lambda: _tinted(self.sharp, parse_color(color), alpha))
        return torch.where(regions[..., None], tinted, self.sharp)

    def _required_masks(self) -> Tensor:
        if self._masks is None:
            raise ValueError("this prompt needs masks and the canvas has none")
        return self._masks

    def _rectangles(self, thickness: int) -> Tensor:
        def draw(plane: Plane, index: int) -> None:
            x1, y1, x2, y2 = self.boxes_xyxy[index]
            cv2.rectangle(plane, _point((x1, y1)), _point((x2, y2)), 1, thickness)

        return self._once(("rectangles", thickness), lambda: self._draw(draw))

    def _ellipses(self, thickness: int) -> Tensor:
        def draw(plane: Plane, index: int) -> None:
            low, high = self.boxes_xyxy[index, :2], self.boxes_xyxy[index, 2:]
            center, axes = low + 0.5 * (high - low), (high - low) / 2
            cv2.ellipse(plane, _point(center), _point(axes), 0, 0, 360, 1, thickness)

        return self._once(("ellipses", thickness), lambda: self._draw(draw))

    def _draw(self, draw: Callable[[Plane, int], None]) -> Tensor:
        planes = np.zeros((len(self), *self.size_px), dtype=np.uint8)
        for index in range(len(self)):
            draw(planes[index], index)
        return torch.from_numpy(planes).to(self.device).bool()

    def _once(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _point(xy: Sequence[np.floating] | NDArray[np.floating]) -> tuple[int, int]:
    """Truncate each coordinate toward zero (spec section 3 step 8)."""
    return int(xy[0]), int(xy[1])


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


def _gray(image_u8: Tensor, weights: Color) -> Tensor:
    red, green, blue = (image_u8[..., channel].int() * weights[channel] for channel in range(3))
    luma = (red + green + blue + (1 << (GRAY_BITS - 1))) >> GRAY_BITS
    return luma.to(torch.uint8)[..., None].expand(image_u8.shape)


def _tinted(image_u8: Tensor, color: Color, alpha: float) -> Tensor:
    """Blend the whole picture with a color as OpenCV's `addWeighted` rounds, by a table of 256 levels."""
    opacity, rest = np.float32(alpha), np.float32(1 - alpha)
    levels = (np.arange(256, dtype=np.float32) * rest)[:, None].astype(np.float64)
    # OpenCV fuses the product with the sum: the exact value is rounded to float32 once, then to an integer.
    blended = (np.array(color) * np.float64(opacity) + levels).astype(np.float32)
    table = torch.from_numpy(np.rint(blended).clip(0, 255).astype(np.uint8)).to(image_u8.device)
    return table.gather(0, image_u8.reshape(-1, 3).long()).view(image_u8.shape)
