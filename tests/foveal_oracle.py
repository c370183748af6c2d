"""The plain way to run attention masks: open_clip's own blocks, every region from the first block on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from operators.foveal.tokens import TokenGrid, bump_rows, mask_matrices


def masked_one_by_one(visual, views: Tensor, masks: Tensor, layers) -> Tensor:
    """Encode view i with mask i in `layers`, one region at a time, as the published code does."""
    pairs = zip(views.split(1), masks.split(1), strict=True)
    return torch.cat([masked_batch(visual, view, mask, layers) for view, mask in pairs])


def masked_batch(visual, views: Tensor, masks: Tensor, layers) -> Tensor:
    """Encode view i with mask i in `layers`, all regions in one batch, nothing shared."""
    x = visual._embeds(views)
    for index, block in enumerate(visual.transformer.resblocks):
        repeated = masks.repeat_interleave(block.attn.num_heads, dim=0) if index in layers else None
        x = block(x, attn_mask=repeated)
    return visual._pool(x)[0] @ visual.proj


def some_masks(grid: TokenGrid, regions: int, form: str = "a", alpha: float = 4.0) -> Tensor:
    """Make masks of random boxes, strong enough that no difference hides behind them."""
    dice = np.random.RandomState(regions)
    corners = dice.uniform(0, 400, (regions, 2))
    boxes = np.concatenate([corners, corners + dice.uniform(20, 300, (regions, 2))], axis=1)
    return mask_matrices(torch.from_numpy(bump_rows(boxes, (640, 480), grid, alpha, 2.0)), form)


def largest_difference(first: Tensor, second: Tensor) -> float:
    """Return the largest difference between L2-normalised features."""
    unit = torch.nn.functional.normalize
    return float((unit(first, dim=-1) - unit(second, dim=-1)).abs().max())
