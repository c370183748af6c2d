"""Where the class token looks, for overlays."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

from operators.foveal.tower import Pictures, VisionTower, attend, finish, project


def class_attention(
    tower: VisionTower, pictures: Pictures, masks: Tensor | None = None, layers: Set[int] = frozenset()
) -> Tensor:
    """Return how much attention the class token pays to every patch, in every block.

    Without masks this is plain CLIP, the picture before the mask.

    Args:
        tower: the vision transformer.
        pictures: of R regions.
        masks: (R, L, L), added to the attention scores of every head in `layers`.
        layers: zero-based blocks that get the masks.

    Returns:
        float32 (blocks, R, grid rows, grid columns), means over heads; what is missing to a sum of 1 goes to
        the class token itself.
    """
    x_RLD = tower.embed(pictures.views)[pictures.picture_R]
    maps = []
    for index, block in enumerate(tower.blocks):
        masks_here = masks if masks is not None and index in layers else None
        query, key, value = project(block, x_RLD)
        scores = (query[:, :, :1] * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        if masks_here is not None:
            scores = scores + masks_here[:, None, :1].to(scores)
        maps.append(scores.float().softmax(dim=-1).mean(dim=1)[:, 0, 1:])
        x_RLD = finish(block, x_RLD, attend(block, query, key, value, masks_here))
    return torch.stack(maps).unflatten(-1, tower.grid.shape)
