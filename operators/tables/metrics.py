"""Counting right answers from stored predictions, by split and by image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from operators.datasets.facts import EXAMPLE_CHARS, Reason
from operators.rows.records import OK, PREDICTIONS


@dataclass(frozen=True, eq=False)
class ImageTally:
    """Counts of a split by image, ordered by key, whatever the order of the shards.

    Attributes:
        keys: of the N images.
        ok_N: expressions scored without fault.
        correct_N: right ones among them.
    """

    keys: tuple[str, ...]
    ok_N: NDArray[np.int64]
    correct_N: NDArray[np.int64]


@dataclass(frozen=True)
class SplitCount:
    """Expressions of one split: scored without fault, right among them, set aside.

    Attributes:
        images: the same by image, where it was counted from predictions.
    """

    ok: int = 0
    correct: int = 0
    quarantined: int = 0
    images: ImageTally | None = field(default=None, compare=False, repr=False)

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
    flat = pa.concat_tables([_flat(PREDICTIONS.empty_table()), *map(_flat, parts)])
    _require_distinct(flat)
    by_image = flat.group_by(["dataset", "split", "image_key"]).aggregate(
        [("ok", "sum"), ("correct", "sum"), ([], "count_all")]
    )
    counts = {}
    order = [("dataset", "ascending"), ("split", "ascending"), ("image_key", "ascending")]
    rows = by_image.sort_by(order)
    datasets, splits = (rows.column(name).to_pylist() for name in ("dataset", "split"))
    for dataset, split in dict.fromkeys(zip(datasets, splits, strict=True)):
        chosen = rows.filter((pc.field("dataset") == dataset) & (pc.field("split") == split))
        ok_N, correct_N = (chosen.column(f"{name}_sum").to_numpy() for name in ("ok", "correct"))
        ok, total = int(ok_N.sum()), pc.sum(chosen.column("count_all")).as_py()
        tally = ImageTally(tuple(chosen.column("image_key").to_pylist()), ok_N, correct_N)
        counts[dataset, split] = SplitCount(ok, int(correct_N.sum()), total - ok, tally)
    return counts


class Reasons:
    """Counts why expressions were set aside."""

    def __init__(self) -> None:
        self._found: dict[str, Reason] = {}

    def add(self, part: pa.Table) -> None:
        """Look at a table of `PREDICTIONS`."""
        predictions = part.column("predictions").combine_chunks().flatten()
        aside = predictions.filter(pc.not_equal(predictions.field("status"), OK))
        for row in aside.to_pylist():
            code = row["error"]["code"]
            where = f"{row['dataset']}/{row['split']} {row['expression_id']}: {row['error']['message']}"
            known = self._found.get(code) or Reason(
                of="expressions", code=code, count=0, example=where[:EXAMPLE_CHARS]
            )
            self._found[code] = known.model_copy(update={"count": known.count + 1})

    def found(self) -> list[Reason]:
        """Return the reasons, most frequent first."""
        return sorted(self._found.values(), key=lambda reason: (-reason.count, reason.code))


def _flat(part: pa.Table) -> pa.Table:
    """Turn a predictions part into one row an expression, with what counting needs."""
    predictions = part.column("predictions").combine_chunks()
    rows = predictions.flatten()
    ok = pc.equal(rows.field("status"), OK)
    right = pc.and_(ok, pc.fill_null(rows.field("correct"), False))
    keys = part.column("image_key").combine_chunks().take(pc.list_parent_indices(predictions))
    columns = {name: rows.field(name) for name in ("dataset", "split", "expression_id")}
    numbers = {"ok": ok.cast(pa.int64()), "correct": right.cast(pa.int64())}
    return pa.table({"image_key": keys, **columns, **numbers})


def _require_distinct(flat: pa.Table) -> None:
    names = flat.group_by(["dataset", "expression_id"]).aggregate([([], "count_all")])
    for double in names.filter(pc.field("count_all") > 1).slice(0, 1).to_pylist():
        raise ValueError(f"expression {double['expression_id']} of {double['dataset']} was predicted twice")
