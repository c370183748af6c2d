"""A stored text part as vectors: a caption bank is looked up by position, phrases by their string."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from operators.rows.records import LOGIT_SCALE
from operators.rows.vectors import Array, half_unit, unit


class TextVectors:
    """The unit vectors of a text part, made in the precision that is asked for."""

    def __init__(self, part: pa.Table) -> None:
        self.strings: list[str] = part.column("text").to_pylist()
        self.scale = float(part.schema.metadata[LOGIT_SCALE])
        self._features = part.column("feature").combine_chunks()

    def __len__(self) -> int:
        return len(self.strings)

    @cached_property
    def scaled_ND(self) -> Array:
        """Return unit vectors times exp(logit_scale), float64."""
        return self.scale * unit(matrix(self._features))

    @cached_property
    def half_ND(self) -> Array:
        """Return unit vectors in float16, without the scale."""
        return half_unit(matrix(self._features))

    def positions(self, strings: Sequence[str]) -> list[int]:
        """Return where strings stand.

        Raises:
            ValueError: for a string that the part lacks.
        """
        lacking = [string for string in strings if string not in self._position]
        if lacking:
            raise ValueError(f"the stored phrases lack {lacking[0]!r}; they were made from other parses")
        return [self._position[string] for string in strings]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {string: position for position, string in enumerate(self.strings)}


def matrix(vectors: pa.FixedSizeListArray) -> Array:
    """Turn an Arrow list of vectors into (N, D), float64; missing vectors become NaN."""
    result = np.full((len(vectors), vectors.type.list_size), np.nan)
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    result[present] = vectors.drop_null().flatten().to_numpy().reshape(-1, vectors.type.list_size)
    return result
