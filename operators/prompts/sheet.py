"""What drawings are drawn on: a picture with regions, and the few edits that drawings are made of.

A *sheet* is either of two kinds, which differ in where the pixels come from and who draws the shapes: a
*canvas* is the image resized as FGVP does, with shapes by OpenCV and masks in its pixels; a *photo* is the
image as it is stored, with shapes by Pillow, as ReCLIP and FALIP do it.

Every per-pixel edit is integer tensor work on the picture's device, batched over regions. What does not
depend on the region (blurred, grey and tinted picture) is made once, and so is every shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import copy
from functools import cache, partial
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.pixels.blur import blur_planes
from operators.pixels.resize import planar
from operators.prompts import GrayWeights
from operators.prompts.colors import Color, parse_color, random_color, random_seed

GRAY_BITS = 15
# Luma weights of OpenCV's grey conversion in 15-bit fixed point; the published code takes RGB for BGR.
GRAY_WEIGHTS: dict[str, Color] = {"swapped": (3735, 19235, 9798), "rec601": (9798, 19235, 3735)}

Plane = NDArray[np.uint8]
Made = TypeVar("Made")


class Sheet:
    """A picture and N regions: the base of `Canvas` (FGVP's space) and `Photo` (native space).

    Shapes below: pictures are uint8 RGB tensors (h, w, 3), or (N, h, w, 3) with one picture a region; planes
    are bool tensors (N, h, w). Both lie on the device of the picture. In memory each colour channel is a
    plane of its own, which is what encoders take and what edits are fastest on.

    Attributes:
        sharp: the picture, (h, w, 3); (N, h, w, 3) once something is painted. Never written to.
        keys: gives a name to every region, by which random colours are drawn.
    """

    def __init__(self, image_u8: Tensor, boxes_xyxy: NDArray[np.floating]) -> None:
        """Start from a picture (h, w, 3) and boxes (N, 4) in its pixels."""
        self.sharp = planar(image_u8)
        self.keys = cache(partial(region_keys, image_u8, boxes_xyxy))
        self._regions = len(boxes_xyxy)
        self._shapes: dict[tuple[Any, ...], Any] = {}
        self._pixels: dict[tuple[Any, ...], Any] = {}

    def __len__(self) -> int:
        return self._regions

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.sharp.shape[-3], self.sharp.shape[-2]

    @property
    def device(self) -> torch.device:
        """Where pictures and planes lie."""
        return self.sharp.device

    def painted(self, pictures: Tensor) -> Self:
        """Return a sheet with the same regions that starts from one picture a region, (N, h, w, 3)."""
        sheet = copy(self)
        sheet.sharp, sheet._pixels = pictures, {}
        return sheet

    # Pictures that prompts choose from.

    def blurred(self, sigma_px: float) -> Tensor:
        """The whole picture blurred as Pillow does (visual_prompts spec section 5)."""
        return self._once(
            ("blurred", sigma_px),
            lambda: blur_planes(self.sharp.movedim(-1, -3), sigma_px).movedim(-3, -1),
        )

    def gray(self, weights: GrayWeights = "swapped") -> Tensor:
        """The picture in grey; `swapped` exchanges the weights of red and blue (section 4.4).

        Raises ValueError for other weights.
        """
        if weights not in GRAY_WEIGHTS:
            raise ValueError(f"gray_weights must be one of {', '.join(GRAY_WEIGHTS)}, got {weights!r}")
        return self._once(("gray", weights), lambda: _gray(self.sharp, GRAY_WEIGHTS[weights]))

    # Edits. Each takes planes (N, h, w) and returns fresh pictures, uint8 (N, h, w, 3).

    def keep(self, regions: Tensor, outside: Tensor) -> Tensor:
        """The sharp picture inside the regions and the picture `outside` elsewhere."""
        return choose(regions, self.sharp, outside)

    def stroke(self, lines: Tensor, color: str) -> Tensor:
        """The sharp picture with the lines in one opaque colour (see `colors.parse_color`)."""
        colors = self.sharp.new_tensor(self._colors(color))
        return choose(lines, colors[:, None, None], self.sharp)

    def tint(self, regions: Tensor, color: str, alpha: float) -> Tensor:
        """The sharp picture with the regions blended with a colour of opacity `alpha` (section 4.3)."""
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
        tinted = self._once(("tint", color, alpha), lambda: _tinted(self.sharp, self._colors(color), alpha))
        return choose(regions, tinted, self.sharp)

    def _colors(self, color: str) -> list[Color]:
        """Return one colour, or one a region."""
        seed = random_seed(color)
        return [parse_color(color)] if seed is None else [random_color(seed, key) for key in self.keys()]

    def _once(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """Make what depends on the picture once."""
        return _remember(self._pixels, key, make)

    def _shape(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """Make what depends on the regions only once, for all that is painted on this sheet."""
        return _remember(self._shapes, key, make)

    def _draw(self, draw: Callable[[Plane, int], None]) -> Tensor:
        """Let `draw` set pixels of one plane a region to 1, on the CPU."""
        planes = np.zeros((len(self), *self.size_px), dtype=np.uint8)
        for index in range(len(self)):
            draw(planes[index], index)
        return torch.from_numpy(planes).to(self.device).view(torch.bool)


def choose(planes: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Return `inside` where a plane is set, else `outside`: planes bool (N, h, w), pictures (..., h, w, 3).

    The difference is taken modulo 256, which adding `outside` undoes; a select by `torch.where` gives the
    same and is many times slower on a CPU.
    """
    difference = inside - outside
    return (difference * planes.view(torch.uint8)[..., None]).add_(outside)


def _remember(made: dict[tuple[Any, ...], Any], key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
    if key not in made:
        made[key] = make()
    found: Made = made[key]
    return found


def region_keys(image_u8: Tensor, boxes_xyxy: NDArray[np.floating]) -> list[str]:
    """Name each region by the picture's pixels (H, W, 3) and its box, whatever else lies on the picture."""
    content = hashlib.sha256(image_u8.cpu().numpy().tobytes()).hexdigest()
    return [f"{content} {box.tolist()}" for box in boxes_xyxy.astype(np.float32)]


def _gray(image_u8: Tensor, weights: Color) -> Tensor:
    red, green, blue = (image_u8[..., channel].int() * weights[channel] for channel in range(3))
    luma = (red + green + blue + (1 << (GRAY_BITS - 1))) >> GRAY_BITS
    return luma.to(torch.uint8)[..., None].expand(image_u8.shape)


def _tinted(image_u8: Tensor, colors: list[Color], alpha: float) -> Tensor:
    """Blend the whole picture with K colours as OpenCV's `addWeighted` rounds, by tables of 256 levels.

    Returns (h, w, 3) for one colour on one picture, else (K, h, w, 3).
    """
    opacity, rest = np.float32(alpha), np.float32(1 - alpha)
    levels = (np.arange(256, dtype=np.float32) * rest).astype(np.float64)
    # OpenCV fuses the product with the sum: the exact value is rounded to float32 once, then to an integer.
    blended = (np.array(colors)[..., None] * np.float64(opacity) + levels).astype(np.float32)
    tables = torch.from_numpy(np.rint(blended).clip(0, 255).astype(np.uint8)).to(image_u8.device)
    first = 256 * torch.arange(3 * len(colors), device=image_u8.device).reshape(-1, 3, 1, 1)
    tinted = tables.take(image_u8.movedim(-1, -3).long() + first).movedim(-3, -1)
    return tinted[0] if len(tinted) == 1 else tinted
