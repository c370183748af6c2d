"""What FALIP is compared with: unleashed, exchanged and masked features (falip spec section 7)."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

from operators.foveal.tower import Pictures, VisionTower, attend, finish, project, whole


def unleashed_features(
    tower: VisionTower, drawn: Pictures, raw: Pictures, layers: Set[int], *, propagate: bool = False
) -> Tensor:
    """Replace the class token's attention output A' by 2 A' - A, where A is that on the raw image.

    Source: paper equations 5 and 6. The sum over heads commutes with the output projection, whose bias
    cancels, so heads are not taken apart.

    Args:
        tower: the vision transformer.
        drawn: drawings of R regions.
        raw: raw images of the same regions.
        layers: zero-based blocks whose outputs are taken.
        propagate: go on from the new class token in every block, instead of adding all differences between
            the two unmodified passes to the class token after the last block.

    Returns:
        (R, E) features, unnormalised.
    """
    gains: list[Tensor] = []
    x_RLD, clean_VLD = tower.embed(drawn.views)[drawn.picture_R], tower.embed(raw.views)
    for index, block in enumerate(tower.blocks):
        attended = attend(block, *project(block, x_RLD))
        attended_clean = attend(block, *project(block, clean_VLD))
        if index in layers:
            gain = attended[:, :1] - attended_clean[raw.picture_R, :1]
            if propagate:
                attended = torch.cat([attended[:, :1] + gain, attended[:, 1:]], dim=1)
            else:
                gains.append(gain)
        x_RLD, clean_VLD = finish(block, x_RLD, attended), finish(block, clean_VLD, attended_clean)
    return tower.pool(x_RLD[:, :1] + sum(gains))


def exchanged_features(
    tower: VisionTower,
    query_key: Pictures,
    value: Pictures,
    masks: Tensor | None = None,
    layers: Set[int] = frozenset(),
) -> Tensor:
    """Look at the values of one picture with the queries and keys of another, in all blocks.

    Source: paper Figure 7 (b), (c) and Table 5. The paper does not say how the two passes go on; here the
    pass that gives queries and keys is unmodified and the residual stream is that of the values.

    Args:
        tower: the vision transformer.
        query_key: of R regions.
        value: of the same regions.
        masks: (R, L, L), added to the attention scores of every head in `layers`.
        layers: zero-based blocks that get the masks.

    Returns:
        (R, E) features, unnormalised.
    """
    x_RLD, other_VLD = tower.embed(value.views)[value.picture_R], tower.embed(query_key.views)
    for index, block in enumerate(tower.blocks):
        query, key = (part[query_key.picture_R] for part in project(block, other_VLD, "qk"))
        (values,) = project(block, x_RLD, "v")
        attended = attend(block, query, key, values, masks if index in layers else None)
        x_RLD, other_VLD = finish(block, x_RLD, attended), whole(block, other_VLD)
    return tower.pool(x_RLD[:, :1])


def weighted_features(tower: VisionTower, pictures: Pictures, weights_RL: Tensor) -> Tensor:
    """Multiply the tokens of each region before the first block (paper Figure 7 (a)); returns (R, E)."""
    x_RLD = tower.embed(pictures.views)[pictures.picture_R]
    x_RLD = x_RLD * weights_RL[..., None].to(x_RLD)
    for block in tower.blocks:
        x_RLD = whole(block, x_RLD)
    return tower.pool(x_RLD[:, :1])
