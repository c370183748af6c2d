"""open_clip's vision transformer taken apart, so that regions can share what is equal between them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from operators.foveal.tokens import TokenGrid

QKV = Literal["qkv", "q", "v", "qk", "kv"]


class Pictures(NamedTuple):
    """What the tower looks at for each of R regions.

    Attributes:
        views: normalised pictures (V, 3, h, w); work on a picture that regions share is shared.
        picture_R: int64 (R,), the number of the picture of each region.
    """

    views: Tensor
    picture_R: Tensor


class VisionTower:
    """A vision transformer that pools its class token: embedding, blocks, pooling.

    Shapes: L = 1 + tokens, the class token first; D is the width.

    Attributes:
        grid: patches of the input.
        blocks: the residual attention blocks.

    Raises:
        ValueError: for a model that has no class token or does not end with it.
    """

    def __init__(self, visual: nn.Module) -> None:
        self._visual: Any = visual
        if not isinstance(visual, VisionTransformer):
            raise ValueError(
                f"attention masks need open_clip's VisionTransformer (ViT-B-16, ViT-L-14 ...); "
                f"this model has a {type(visual).__name__}"
            )
        if visual.attn_pool is not None or visual.pool_type != "tok":
            pooling = "attention" if visual.attn_pool is not None else visual.pool_type
            raise ValueError(
                f"attention masks act on the class token; this vision transformer pools with {pooling!r}"
            )
        self.blocks: list[Any] = list(visual.transformer.resblocks)
        if other := [b for b in self.blocks if not isinstance(b, ResidualAttentionBlock)]:
            raise ValueError(f"attention masks do not support blocks of type {type(other[0]).__name__}")
        self.grid = TokenGrid(visual.image_size, visual.patch_size)

    def embed(self, views: Tensor) -> Tensor:
        """Turn normalised views (N, 3, h, w) into tokens (N, L, D) before the first block."""
        return self._visual._embeds(views)

    def pool(self, class_N1D: Tensor) -> Tensor:
        """Turn class tokens after the last block into features (N, E), unnormalised."""
        pooled = self._visual.ln_post(class_N1D[:, 0])
        return pooled if self._visual.proj is None else pooled @ self._visual.proj


def project(block: Any, x_NLD: Tensor, part: QKV = "qkv") -> tuple[Tensor, ...]:
    """Return the queries, keys and values of a block, or some of them: each (N, heads, L, D / heads)."""
    attn, width = block.attn, x_NLD.shape[-1]
    rows = slice("qkv".index(part[0]) * width, ("qkv".index(part[-1]) + 1) * width)
    projected = F.linear(block.ln_1(x_NLD), attn.in_proj_weight[rows], attn.in_proj_bias[rows])
    split = projected.unflatten(-1, (len(part), attn.num_heads, attn.head_dim))
    return split.permute(2, 0, 3, 1, 4).unbind()


def attend(block: Any, query: Tensor, key: Tensor, value: Tensor, masks: Tensor | None = None) -> Tensor:
    """Return what attention adds to the residual stream: (N, queries, D).

    Args:
        block: a residual attention block.
        query: (N, heads, queries, D / heads).
        key: (N, heads, keys, D / heads).
        value: as `key`.
        masks: (N, queries, keys), added to the scaled scores of every head before softmax.
    """
    bias = None if masks is None else masks[:, None].to(query.dtype)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return block.ls_1(block.attn.out_proj(mixed.transpose(1, 2).flatten(2)))


def attend_alone(block: Any, query: Tensor, x_NLD: Tensor, masks: Tensor | None = None) -> Tensor:
    """Return what attention adds to one token of each region: (N, 1, D), as `attend` does.

    For one query it is cheaper not to make keys and values: with K = x W, q K' is (q W') x', and a V is
    (a x) W. The bias of the keys adds the same to every score.

    Args:
        block: a residual attention block.
        query: (N, heads, 1, D / heads).
        x_NLD: all tokens of each region, before the block.
        masks: (N, 1, L), added to the scaled scores of every head before softmax.
    """
    attn = block.attn
    _, key_HED, value_HED = attn.in_proj_weight.unflatten(0, (3, attn.num_heads, -1))
    value_bias_HE = attn.in_proj_bias.unflatten(0, (3, attn.num_heads, -1))[2]
    normed = block.ln_1(x_NLD)
    reach_NHD = torch.einsum("nhe,hed->nhd", query[:, :, 0] * attn.head_dim**-0.5, key_HED)
    scores_NHL = reach_NHD @ normed.transpose(1, 2)
    if masks is not None:
        scores_NHL = scores_NHL + masks.to(scores_NHL.dtype)
    mixed_NHD = scores_NHL.softmax(dim=-1) @ normed
    mixed_NHE = torch.einsum("nhd,hed->nhe", mixed_NHD, value_HED) + value_bias_HE
    return block.ls_1(attn.out_proj(mixed_NHE.flatten(1)))[:, None]


def finish(block: Any, x_NLD: Tensor, attended_NLD: Tensor) -> Tensor:
    """Return the output of a block from its input and what its attention adds."""
    x_NLD = x_NLD + attended_NLD
    return x_NLD + block.ls_2(block.mlp(block.ln_2(x_NLD)))


def whole(block: Any, x_NLD: Tensor, masks: Tensor | None = None) -> Tensor:
    """Run a block on all tokens."""
    query, key, value = project(block, x_NLD)
    return finish(block, x_NLD, attend(block, query, key, value, masks))
