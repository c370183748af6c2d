"""Run a vision transformer with one attention mask a region, sharing what regions of a picture share.

Blocks before the first masked one see no region, so they run once per picture. A mask of form a changes only
the class token, so in the first masked block the patches are still the picture's, and so are their
projections in the block after it; from there on patches have attended to a class token that differs by
region. After the last block only the class token is read, so only its row is computed there. Nothing is
approximated (falip spec section 5).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators.foveal.tower import Pictures, VisionTower, attend, attend_alone, finish, project, whole


@dataclass(frozen=True)
class _RegionTokens:
    """Tokens between two blocks: a class token per region, patches per picture or per region.

    Attributes:
        own: class tokens (R, 1, D).
        patches: (V, L - 1, D).
        patches_of: int64 (R,), which of the V patch sets a region has; None if each has its own.
    """

    own: Tensor
    patches: Tensor
    patches_of: Tensor | None

    def class_row(self, block: Any, masks: Tensor | None) -> Tensor:
        """Run a block for the class tokens alone: (R, 1, D)."""
        (query,) = project(block, self.own, "q")
        masks = None if masks is None else masks[:, :1]
        return finish(block, self.own, attend_alone(block, query, self.together(), masks))

    def all_rows(self, block: Any, masks: Tensor | None) -> _RegionTokens:
        """Run a block for all tokens; every region has its own patches from then on."""
        if self.patches_of is None:
            x_RLD = whole(block, self.together(), masks)
        else:
            pairs = zip(project(block, self.own), project(block, self.patches), strict=True)
            query, key, value = (torch.cat([own, self._spread(rest)], dim=2) for own, rest in pairs)
            x_RLD = finish(block, self.together(), attend(block, query, key, value, masks))
        return _RegionTokens(x_RLD[:, :1], x_RLD[:, 1:], None)

    def together(self) -> Tensor:
        """Return all tokens of every region: (R, L, D)."""
        return torch.cat([self.own, self._spread(self.patches)], dim=1)

    def _spread(self, patches: Tensor) -> Tensor:
        return patches if self.patches_of is None else patches[self.patches_of]


def masked_features(tower: VisionTower, pictures: Pictures, masks: Tensor, layers: Set[int]) -> Tensor:
    """Encode regions, each with its own attention mask.

    Args:
        tower: the vision transformer.
        pictures: of R regions.
        masks: (R, L, L), added to the attention scores of every head.
        layers: zero-based blocks that get the mask, at least one.

    Returns:
        (R, E) features, unnormalised.
    """
    *blocks, last = tower.blocks
    first, only_class = min(layers), not masks[:, 1:].any()
    x_VLD = tower.embed(pictures.views)
    for block in blocks[:first]:
        x_VLD = whole(block, x_VLD)
    tokens = _RegionTokens(x_VLD[pictures.picture_R, :1], x_VLD[:, 1:], pictures.picture_R)
    for index, block in enumerate(blocks[first:], start=first):
        masks_here = masks if index in layers else None
        if index == first and only_class:
            patches = whole(block, x_VLD)[:, 1:]
            tokens = _RegionTokens(tokens.class_row(block, masks_here), patches, pictures.picture_R)
        else:
            tokens = tokens.all_rows(block, masks_here)
    return tower.pool(tokens.class_row(last, masks if len(blocks) in layers else None))
