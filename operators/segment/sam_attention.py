"""SAM's image-encoder attention on PyTorch's fused kernel: same parameters and values, less time and memory.

The library computes the attention matrix step by step and keeps several copies of it; for one image of the
published size a global block needs over a gigabyte per copy in ViT-H.
"""

from __future__ import annotations

import torch
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT, get_rel_pos
from torch import nn
from torch.nn import functional


class FusedAttention(nn.Module):
    """Drop-in replacement of the library's attention; shares its parameters under the same names."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.qkv, self.proj = attention.qkv, attention.proj
        self.use_rel_pos: bool = attention.use_rel_pos
        if self.use_rel_pos:
            self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, tokens_BHWC: torch.Tensor) -> torch.Tensor:
        batch, height, width, _ = tokens_BHWC.shape
        # B x (H W) x 3 heads c -> 3 x B x heads x (H W) x c
        packed = self.qkv(tokens_BHWC).view(batch, height * width, 3, self.num_heads, -1)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        bias = self._relative_position_bias(query, height, width) if self.use_rel_pos else None
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(attended.transpose(1, 2).reshape(batch, height, width, -1))

    def _relative_position_bias(self, query: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return what each query adds to its logits by row and by column distance: B x heads x HW x HW."""
        by_place = query.unflatten(2, (height, width))
        rows = get_rel_pos(height, height, self.rel_pos_h)
        columns = get_rel_pos(width, width, self.rel_pos_w)
        row_bias = torch.einsum("bnyxc,ykc->bnyxk", by_place, rows)
        column_bias = torch.einsum("bnyxc,xkc->bnyxk", by_place, columns)
        bias = row_bias[..., :, None] + column_bias[..., None, :]
        return bias.flatten(4, 5).flatten(2, 3)


def fuse_attention(image_encoder: ImageEncoderViT) -> None:
    """Replace the attention of every block; doing it twice changes nothing."""
    for block in image_encoder.blocks:
        if isinstance(block.attn, Attention):
            block.attn = FusedAttention(block.attn)
