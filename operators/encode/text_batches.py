"""Texts in batches whose shape does not depend on what is encoded together.

A matrix product of one shape gives every row the same bits whatever the other rows hold, so a text's vector
depends on neither its neighbours nor how the work was cut, and yet many go at a time: on a CPU a caption
takes a quarter of what it takes alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

ROWS_ON_CPU, ROWS_ON_GPU = 32, 512
# Lengths are rounded up to a multiple of this.
STEP_TOKENS = 4


def text_batches(tokens_NL: Tensor, lengths_N: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut tokenised texts into batches of as many rows as the device likes, all of one length.

    Args:
        tokens_NL: int64, padded to the context length.
        lengths_N: tokens of each text that matter; what follows is cut off, up to the next multiple.

    Yields:
        The places of the texts in the input, at most as many as there are rows, and the batch: what it has
        too many are repeats of its first row.
    """
    rows = ROWS_ON_CPU if tokens_NL.device.type == "cpu" else ROWS_ON_GPU
    steps_N = (lengths_N + STEP_TOKENS - 1) // STEP_TOKENS
    for step in steps_N.unique().tolist():
        length = min(step * STEP_TOKENS, tokens_NL.shape[1])
        for places in torch.nonzero(steps_N == step).squeeze(1).split(rows):
            filled = torch.cat([places, places[:1].expand(rows - len(places))])
            yield places, tokens_NL[filled, :length]
