"""Attention of SAM's image encoder against the library's own, on every way it is computed."""

from __future__ import annotations

import copy

import pytest
import torch
from segment_anything.modeling.image_encoder import Block

from operators.segment.sam_attention import FusedAttention, attend_by_head, attend_folded, fuse_attention

WIDTH, HEADS = 24, 3
# Of windows in patches (0: none), and of the frame.
SHAPES = [(0, (6, 6)), (0, (5, 7)), (4, (8, 8)), (4, (9, 6)), (7, (4, 4))]


def block(window_size: int, size_hw: tuple[int, int], rel_pos: bool = True) -> Block:
    """A block of the library with weights that leave nothing at zero."""
    torch.manual_seed(3)
    made = Block(WIDTH, HEADS, use_rel_pos=rel_pos, window_size=window_size, input_size=size_hw)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("rel_pos", [True, False])
@pytest.mark.parametrize(
    ("window_size", "size_hw"), [(0, (6, 6)), (0, (5, 7)), (4, (8, 8)), (4, (9, 6)), (7, (4, 4))]
)
def test_a_block_gives_what_the_library_gives(
    window_size: int, size_hw: tuple[int, int], rel_pos: bool
) -> None:
    theirs = block(window_size, size_hw, rel_pos)
    ours = copy.deepcopy(theirs)
    holder = torch.nn.Module()
    holder.blocks = torch.nn.ModuleList([ours])
    fuse_attention(holder)
    fuse_attention(holder)  # a second time changes nothing
    assert isinstance(ours.attn, FusedAttention)
    tokens = torch.randn(2, *size_hw, WIDTH)
    expected = theirs(tokens)
    assert expected.std() > 0.1
    torch.testing.assert_close(ours(tokens), expected, rtol=1e-4, atol=1e-4)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_both_ways_to_attend_agree() -> None:
    torch.manual_seed(5)
    query, key, value = (torch.randn(2, HEADS, 30, 8) for _ in range(3))
    rows, columns = torch.randn(2, HEADS, 5, 6, 5), torch.randn(2, HEADS, 5, 6, 6)
    logits = query @ key.transpose(-1, -2) / 8**0.5
    bias = rows[..., :, None] + columns[..., None, :]
    expected = (logits + bias.flatten(4).flatten(2, 3)).softmax(-1) @ value
    for attend in (attend_by_head, attend_folded):
        torch.testing.assert_close(attend(query, key, value, rows, columns), expected, rtol=1e-5, atol=1e-5)
