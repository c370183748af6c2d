"""SAM's image-encoder attention on PyTorch's fused kernel: same parameters and values, less time and memory.

The library computes the attention matrix step by step and keeps several copies of it; for one image of the
published size a global block needs over a gigabyte per copy in ViT-H. Windows at the border are filled up
after the projection, not before it.
"""

from __future__ import annotations

import torch
from segment_anything.modeling.image_encoder import (
    Attention,
    ImageEncoderViT,
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from torch import Tensor, nn
from torch.nn import functional


class FusedAttention(nn.Module):
    """Drop-in replacement of the library's attention; shares its parameters under the same names.

    Args:
        attention: of the library.
        window_size: side in patches of the windows that attend to themselves; 0 for one that is everything.
    """

    def __init__(self, attention: Attention, window_size: int) -> None:
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.window_size = window_size
        self.qkv, self.proj = attention.qkv, attention.proj
        self.use_rel_pos: bool = attention.use_rel_pos
        if self.use_rel_pos:
            self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, tokens_BHWC: Tensor) -> Tensor:
        packed = self.qkv(tokens_BHWC)
        if not self.window_size:
            return self.proj(self._attend(packed))
        size_hw = packed.shape[1:3]
        windows, padded_hw = self._windows(packed)
        attended = window_unpartition(self._attend(windows), self.window_size, padded_hw, size_hw)
        return self.proj(attended)

    def _windows(self, packed_BHWC: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Cut into windows; filled places hold what a token of zeros projects to, which is the bias."""
        height, width = packed_BHWC.shape[1:3]
        below, right = -height % self.window_size, -width % self.window_size
        if below or right:
            filled = self.qkv.bias.expand(len(packed_BHWC), height + below, width + right, -1).clone()
            filled[:, :height, :width] = packed_BHWC
            packed_BHWC = filled
        return window_partition(packed_BHWC, self.window_size)

    def _attend(self, packed_BHWC: Tensor) -> Tensor:
        batch, height, width, _ = packed_BHWC.shape
        # B x (H W) x 3 heads c -> 3 x B x heads x (H W) x c
        packed = packed_BHWC.view(batch, height * width, 3, self.num_heads, -1)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        if not self.use_rel_pos:
            attended = functional.scaled_dot_product_attention(query, key, value)
        else:
            by_place = query.unflatten(2, (height, width))
            rows = torch.einsum("bnyxc,ykc->bnyxk", by_place, get_rel_pos(height, height, self.rel_pos_h))
            columns = torch.einsum("bnyxc,xkc->bnyxk", by_place, get_rel_pos(width, width, self.rel_pos_w))
            attend = attend_folded if query.is_cuda else attend_by_head
            attended = attend(query, key, value, rows.contiguous(), columns.contiguous())
        return attended.transpose(1, 2).reshape(batch, height, width, -1)


def attend_by_head(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attend with what every query adds to its logits by row and by column of the key, one head at a time.

    The sum of both for all heads of a global block of ViT-B would be 0.8 GB; getting that memory takes longer
    than filling it.

    Args:
        query: B x heads x (H W) x c.
        key: like `query`.
        value: like `query`.
        rows: B x heads x H x W x H, by place of the query and row of the key.
        columns: B x heads x H x W x W.
    """
    attended = torch.empty_like(query)
    places = query.shape[2]
    bias = torch.empty(*rows[:, 0].shape, columns.shape[-1], dtype=rows.dtype, device=rows.device)
    for head in range(query.shape[1]):
        torch.add(rows[:, head, ..., :, None], columns[:, head, ..., None, :], out=bias)
        one = slice(head, head + 1)
        attended[:, one] = functional.scaled_dot_product_attention(
            query[:, one], key[:, one], value[:, one], attn_mask=bias.view(-1, 1, places, places)
        )
    return attended


def attend_folded(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return what `attend_by_head` does, with the sums in the product of queries and keys, not in a mask.

    q k / sqrt(c) + row + column = [q, sqrt(c) rows, sqrt(c) columns] [k, row of k, column of k] / sqrt(c),
    where the places of a key are ones among zeros. So kernels that take no mask can be used: on GPUs flash
    attention, which wants values as wide as keys.
    """
    scale, (height, width) = query.shape[-1] ** -0.5, rows.shape[2:4]
    row_of_key = torch.eye(height, dtype=key.dtype, device=key.device).repeat_interleave(width, 0)
    column_of_key = torch.eye(width, dtype=key.dtype, device=key.device).repeat(height, 1)
    places = torch.cat([row_of_key, column_of_key], dim=-1).expand(*key.shape[:2], -1, -1)
    distances = torch.cat([rows, columns], dim=-1).flatten(2, 3) / scale
    attended = functional.scaled_dot_product_attention(
        torch.cat([query, distances], dim=-1),
        torch.cat([key, places], dim=-1),
        functional.pad(value, (0, height + width)),
        scale=scale,
    )
    return attended[..., : value.shape[-1]]


def fuse_attention(image_encoder: ImageEncoderViT) -> None:
    """Replace the attention of every block; doing it twice changes nothing."""
    for block in image_encoder.blocks:
        if isinstance(block.attn, Attention):
            block.attn = FusedAttention(block.attn, block.window_size)
            block.window_size = 0  # the windows are the attention's own now
