"""Random weights that depend only on a parameter's name, its shape and a seed.

The recipe gives any CLIP or SAM of the published architecture well-conditioned weights without a download:
the parity data were made with them, and checkpoints written with them are labelled as random. Names are those
of OpenAI's CLIP (open_clip uses the same) and of segment-anything.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

RECIPE_SEED = 20240607

Shape = tuple[int, ...]

_UNIT_NORMAL = ("point_embeddings", "not_a_point_embed", "no_mask_embed", "iou_token", "mask_tokens")
_FIXED = {
    "logit_scale": (math.log(100), 0.0),
    "running_mean": (0.0, 0.1),
    "running_var": (1.0, 0.05),
    "num_batches_tracked": (0.0, 0.0),
    "positional_encoding_gaussian_matrix": (0.0, 1.0),
    "pos_embed": (0.0, 0.02),
    "rel_pos_h": (0.0, 0.02),
    "rel_pos_w": (0.0, 0.02),
}


def recipe_parameter(name: str, shape: Shape, seed: int = RECIPE_SEED) -> NDArray[np.float32]:
    """Make one parameter: normal values from the stream of (name, seed), rounded to float16, as float32."""
    base, std = _base_and_std(name, shape)
    values = np.random.RandomState(zlib.crc32(name.encode()) ^ seed).standard_normal(shape)
    return np.asarray(values * std + base).astype(np.float16).astype(np.float32)


def fill_state_dict(shapes: Mapping[str, Shape], seed: int = RECIPE_SEED) -> dict[str, NDArray[np.float32]]:
    """Make every parameter of a model from the shapes of its state dict."""
    return {name: recipe_parameter(name, tuple(shape), seed) for name, shape in shapes.items()}


def _base_and_std(name: str, shape: Shape) -> tuple[float, float]:
    last = name.rpartition(".")[2]
    if last in _FIXED:
        return _FIXED[last]
    if last in ("positional_embedding", "class_embedding"):
        return 0.0, shape[-1] ** -0.5
    if any(part in name for part in _UNIT_NORMAL):
        return 0.0, 1.0
    if name.endswith("token_embedding.weight"):
        return 0.0, 0.02
    if last in ("proj", "text_projection"):
        return 0.0, shape[0] ** -0.5
    if len(shape) < 2:
        return (1.0, 0.1) if last == "weight" else (0.0, 0.02)
    return 0.0, math.prod(shape[1:]) ** -0.5
