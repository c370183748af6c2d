"""Counting right answers from stored predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from operators.records import OK


class SplitCount(NamedTuple):
    """Expressions of one split: scored without fault, right among them, set aside."""

    ok: int = 0
    correct: int = 0
    quarantined: int = 0

    @property
    def total(self) -> int:
        """Return how many expressions were accounted for."""
        return self.ok + self.quarantined

    @property
    def accuracy(self) -> float | None:
        """Return percent correct among those scored (rec_scoring spec section 1); None without any."""
        return 100 * self.correct / self.ok if self.ok else None


def count_predictions(parts: Iterable[pa.Table]) -> dict[tuple[str, str], SplitCount]:
    """Count by (dataset, split) over tables of `PREDICTIONS`.

    Raises:
        ValueError: if an expression occurs twice.
    """
    counts: dict[tuple[str, str], SplitCount] = {}
    seen: set[tuple[str, str]] = set()
    for part in parts:
        for prediction in (p for row in part.column("predictions").to_pylist() for p in row):
            name = (prediction["dataset"], prediction["expression_id"])
            if name in seen:
                raise ValueError(f"expression {name[1]} of {name[0]} was predicted twice")
            seen.add(name)
            split = (prediction["dataset"], prediction["split"])
            ok = prediction["status"] == OK
            count = counts.get(split, SplitCount())
            counts[split] = SplitCount(
                count.ok + ok,
                count.correct + bool(ok and prediction["correct"]),
                count.quarantined + (not ok),
            )
    return counts
