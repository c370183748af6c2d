"""Score subtraction S: which captions of a split's bank an expression is compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.methods.method import Subtraction
from operators.rows.fingerprint import canonical_json


def draw_negatives(
    subtraction: Subtraction,
    ref: dict[str, Any],
    expression_id: str,
    bank: int,
    left_out: Collection[int] = (),
) -> NDArray[np.int32]:
    """Draw positions of a caption bank without replacement, keyed by seed, dataset, split and expression.

    Args:
        subtraction: how many captions, and the seed.
        ref: gives dataset and split.
        expression_id: of the expression that is scored.
        bank: length of the bank; drawn whole if it has no more captions than asked for.
        left_out: positions that are never drawn: those of the same image with FALIP's filter (falip spec
            section 6), none as published for FGVP, where the positive caption may be drawn too (rec_scoring
            spec section 8).

    Returns:
        Uniformly drawn positions: min(captions, those that can be drawn).
    """
    place = [subtraction.seed, ref["dataset"], ref["split"], expression_id]
    key = hashlib.sha256(canonical_json(place).encode()).digest()
    # NumPy promises never to change the stream of its legacy generator.
    generator = np.random.RandomState(np.frombuffer(key, dtype="<u4"))
    drawn = generator.permutation(bank)[: subtraction.captions + len(left_out)]
    if left_out:
        drawn = drawn[~np.isin(drawn, list(left_out))][: subtraction.captions]
    return drawn.astype(np.int32)
