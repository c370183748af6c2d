"""Spatial relations between boxes as matrices (rec_scoring spec section 10.1)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from operators.pixels.geometry import Boxes, xywh_to_xyxy
from operators.relations.keywords import Predicate

Array = NDArray[np.float64]


class BoxRelations:
    """Relations among the N candidate boxes of an image, each matrix made when first asked for."""

    def __init__(self, boxes_xywh: Boxes) -> None:
        boxes = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
        self._boxes_xyxy = xywh_to_xyxy(boxes)
        self._areas = boxes[:, 2] * boxes[:, 3]
        self._matrices: dict[Predicate, Array] = {}

    def __len__(self) -> int:
        return len(self._areas)

    def matrix(self, predicate: Predicate) -> Array:
        """Return rel[i, j] of shape (N, N): 1.0 where box i stands in the relation to box j, else 0.0.

        `inside` is the share of box i that lies in box j, and so 1 on the diagonal.
        """
        if predicate not in self._matrices:
            self._matrices[predicate] = self._inside() if predicate == "inside" else self._compare(predicate)
        return self._matrices[predicate]

    @cached_property
    def between(self) -> Array:
        """Return the share of box i inside the joint bounding box of j and k, shape (N, N, N); 0 where two
        of the three are the same box."""
        low = np.minimum(self._boxes_xyxy[:, None, :2], self._boxes_xyxy[None, :, :2])
        high = np.maximum(self._boxes_xyxy[:, None, 2:], self._boxes_xyxy[None, :, 2:])
        own = self._boxes_xyxy[:, None, None]
        sides = np.minimum(own[..., 2:], high) - np.maximum(own[..., :2], low)
        shares = np.clip(sides, 0, None).prod(-1) / self._areas[:, None, None]
        i, j, k = np.ogrid[: len(self), : len(self), : len(self)]
        return np.where((i == j) | (j == k) | (i == k), 0.0, shares)

    def _compare(self, predicate: Predicate) -> Array:
        left, top, right, bottom = self._boxes_xyxy.T
        values, less = {
            "left_of": ((left + right) / 2, True),
            "right_of": ((left + right) / 2, False),
            "above": (top + bottom, True),
            "below": (top + bottom, False),
            "smaller": (self._areas, True),
            "bigger": (self._areas, False),
        }[predicate]
        matrix: Array = np.less.outer(values, values) if less else np.greater.outer(values, values)
        return matrix.astype(np.float64)

    def _inside(self) -> Array:
        a, b = self._boxes_xyxy[:, None], self._boxes_xyxy[None]
        sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
        shares: Array = np.clip(sides, 0, None).prod(-1) / self._areas[:, None]
        return shares
