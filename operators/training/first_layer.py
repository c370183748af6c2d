"""What lets a vision transformer learn shapes from few pictures: how it starts, and small pictures first."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Directions of little variance are noise and stay small.
LEAST_VARIANCE = 0.02
TOKEN_SCALE = 0.5
SLOWEST_TURNS = 100.0


@torch.no_grad()
def settle_first_layer(visual: Any, views: Tensor) -> None:
    """Start a vision transformer with whitened patches and positions on a sine and cosine grid.

    As built, its first layer sees little but the mean colour of a patch, and its positions are noise.

    Args:
        visual: open_clip's `VisionTransformer`; changed in place.
        views: normalised pictures (V, 3, side, side) to take the statistics from.
    """
    convolution = visual.conv1
    side, width = convolution.kernel_size[0], convolution.out_channels
    patches = F.unfold(views, side, stride=side).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((patches - mean).T))
    whitened = (directions[:, -width:] / (variances[-width:] + LEAST_VARIANCE).sqrt()).T
    mixed = torch.linalg.qr(torch.randn(width, width))[0] @ whitened * TOKEN_SCALE
    convolution.weight.copy_(mixed.view_as(convolution.weight))
    positions = _sine_grid(visual.grid_size[0], width) * TOKEN_SCALE - mixed @ mean
    visual.positional_embedding[1:] = positions


def encode_any_size(visual: Any, views: Tensor) -> Tensor:
    """Encode pictures whose side is the model's, or a whole fraction of it with positions pooled to fit."""
    grid = visual.grid_size[0]
    small = views.shape[-1] // visual.conv1.kernel_size[0]
    if small == grid:
        return visual(views)
    positions = visual.positional_embedding
    square = positions[1:].T.reshape(1, -1, grid, grid)
    pooled = F.avg_pool2d(square, grid // small).flatten(2)[0].T
    replaced = {"positional_embedding": torch.cat([positions[:1], pooled])}
    return torch.func.functional_call(visual, replaced, (views,))


def _sine_grid(side: int, width: int) -> Tensor:
    """Return positions (side * side, width), row by row: sines and cosines of x, then of y."""
    along = torch.arange(side, dtype=torch.float32)
    turns = SLOWEST_TURNS ** (-torch.arange(width // 4) / (width // 4))
    y, x = torch.meshgrid(along, along, indexing="ij")
    waves = [wave(axis.flatten()[:, None] * turns) for axis in (x, y) for wave in (torch.sin, torch.cos)]
    return torch.cat(waves, dim=1)
