"""From boxes to attention masks: which patch tokens a box touches, the bump over them, the mask's forms.

Source: falip spec sections 2 to 4; FALIP equations 1 and 2, Table 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.pixels.geometry import Boxes

EPSILON = 1e-6

Floats = NDArray[np.float32]
Form = Literal["a", "b", "c"]


@dataclass(frozen=True)
class TokenGrid:
    """The patches of a model's input, both sizes (height, width) in pixels of the input."""

    size_hw: tuple[int, int]
    patch_hw: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns; what is left of the input at the end of a side belongs to no patch."""
        return self.size_hw[0] // self.patch_hw[0], self.size_hw[1] // self.patch_hw[1]


def token_spans(boxes_xyxy: Boxes, image_wh: tuple[int, int], grid: TokenGrid) -> NDArray[np.int64]:
    """Return the rows and columns of patches that boxes touch when the image is squashed to the input.

    An edge on the line between two patches counts to the one before it, so a box that starts there takes in
    one patch more (published; falip spec section 2).

    Args:
        boxes_xyxy: N x 4, pixels of the image; clamped to it.
        image_wh: width and height of the image in pixels.
        grid: patches of the model.

    Returns:
        N x 4: first column, first row, last column, last row, from 0, both ends included.
    """
    size_yx, patch_yx, cells_yx = (np.array(pair) for pair in (grid.size_hw, grid.patch_hw, grid.shape))
    image_xy = np.array(image_wh)
    scale_xy = size_yx[::-1] / image_xy
    edges = np.clip(boxes_xyxy.reshape(-1, 2, 2), 0, image_xy) * scale_xy
    cells = np.ceil(np.minimum(edges, size_yx[::-1]) / patch_yx[::-1])
    return np.clip(cells, 1, cells_yx[::-1]).astype(np.int64).reshape(-1, 4) - 1


def bump(rows: int, columns: int, alpha: float, sigma_tokens: float) -> Floats:
    """Return a Gaussian over rows x columns tokens, stretched to (almost 0) .. alpha (falip spec section 3).

    Where all tokens are equally far from the centre (1 x 1, 2 x 2 ...) every value is alpha. The
    denominator is float64, as NumPy 1 makes it in the published code.
    """
    y, x = np.ogrid[:rows, :columns]
    distance = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
    gaussian = np.exp(-0.5 * (distance / sigma_tokens) ** 2).astype(np.float32)
    low, high = float(gaussian.min()), float(gaussian.max())
    return (alpha * ((gaussian - low + EPSILON) / (high + EPSILON - low))).astype(np.float32)


def bump_rows(
    boxes_xyxy: Boxes, image_wh: tuple[int, int], grid: TokenGrid, alpha: float, sigma_tokens: float
) -> Floats:
    """Return what each box adds to the attention paid to every token, 0 for the class token.

    Args:
        boxes_xyxy: N x 4, pixels of the image; clamped to it.
        image_wh: width and height of the image in pixels.
        grid: patches of the model.
        alpha: height of the bump.
        sigma_tokens: width of the Gaussian.

    Returns:
        float32 (N, 1 + tokens), row by row of the grid.
    """
    values = np.zeros((len(boxes_xyxy), *grid.shape), dtype=np.float32)
    for plane, (left, top, right, bottom) in zip(
        values, token_spans(boxes_xyxy, image_wh, grid), strict=True
    ):
        rows, columns = bottom + 1 - top, right + 1 - left
        plane[top : bottom + 1, left : right + 1] = bump(rows, columns, alpha, sigma_tokens)
    return np.pad(values.reshape(len(values), math.prod(values.shape[1:])), ((0, 0), (1, 0)))


def mask_matrices(rows_NL: Tensor, form: Form) -> Tensor:
    """Spread bump rows over additive attention masks (falip spec section 4).

    Args:
        rows_NL: (N, L), from `bump_rows`.
        form: `a` only in the class token's row, `b` in all rows, `c` on the diagonal.

    Returns:
        (N, L, L): what query i adds to its score of key j.
    """
    length = rows_NL.shape[1]
    if form == "c":
        return torch.diag_embed(rows_NL)
    if form == "b":
        return rows_NL[:, None].expand(-1, length, -1)
    masks = rows_NL.new_zeros(len(rows_NL), length, length)
    masks[:, 0] = rows_NL
    return masks
