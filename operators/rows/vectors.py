"""Unit vectors and the softmax, exact and as published in half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def unit(vectors_ND: Array) -> Array:
    """Return vectors of length 1, in float64."""
    with np.errstate(invalid="ignore", divide="ignore"):  # a bad vector is found by its score
        return vectors_ND / np.linalg.norm(vectors_ND, axis=-1, keepdims=True)


def half_unit(vectors_ND: Array) -> Array:
    """Return vectors of length about 1, in float16 throughout."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        half = np.asarray(vectors_ND, dtype=np.float32).astype(np.float16)
        lengths = np.linalg.norm(half.astype(np.float32), axis=-1, keepdims=True)
        return half / lengths.astype(np.float16)


def softmax32(scores_N: NDArray[Any]) -> NDArray[np.float32]:
    """Return the softmax as float32: a score 103 below the largest has probability 0."""
    exponentials = np.exp(np.asarray(scores_N, dtype=np.float64) - np.max(scores_N))
    result: NDArray[np.float32] = (exponentials / exponentials.sum()).astype(np.float32)
    return result
