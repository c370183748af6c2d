"""Counts of answers as a table, to be kept beside the parts that they were counted from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.datasets.facts import Reason
from operators.tables.metrics import ImageTally, SplitCount

SUMMARY = b"vpb.counts"
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("image_key", pa.string()),
        ("ok", pa.int64()),
        ("correct", pa.int64()),
    ]
)

Counts = Mapping[tuple[str, str], SplitCount]


def counts_table(counts: Counts, reasons: Sequence[Reason]) -> pa.Table:
    """Write counts, a row an image, with the totals by split and the reasons in the metadata."""
    rows = [
        pa.table(
            {
                "dataset": pa.array([dataset] * len(count.images.keys), pa.string()),
                "split": pa.array([split] * len(count.images.keys), pa.string()),
                "image_key": pa.array(count.images.keys, pa.string()),
                "ok": pa.array(count.images.ok_N, pa.int64()),
                "correct": pa.array(count.images.correct_N, pa.int64()),
            }
        )
        for (dataset, split), count in counts.items()
        if count.images is not None
    ]
    totals = [
        [dataset, split, count.ok, count.correct, count.quarantined, count.images is not None]
        for (dataset, split), count in counts.items()
    ]
    summary = {"splits": totals, "reasons": [reason.model_dump() for reason in reasons]}
    table = pa.concat_tables([SCHEMA.empty_table(), *rows])
    return table.replace_schema_metadata({SUMMARY: json.dumps(summary).encode()})


def read_counts(table: pa.Table) -> tuple[dict[tuple[str, str], SplitCount], list[Reason]]:
    """Read what `counts_table` wrote."""
    summary = json.loads(table.schema.metadata[SUMMARY])
    counts = {}
    for dataset, split, ok, correct, quarantined, by_image in summary["splits"]:
        tally = _tally(table, dataset, split) if by_image else None
        counts[dataset, split] = SplitCount(ok, correct, quarantined, tally)
    return counts, [Reason.model_validate(reason) for reason in summary["reasons"]]


def _tally(table: pa.Table, dataset: str, split: str) -> ImageTally:
    chosen = table.filter((pc.field("dataset") == dataset) & (pc.field("split") == split))
    ok_N, correct_N = (chosen.column(name).to_numpy().astype(np.int64) for name in ("ok", "correct"))
    return ImageTally(tuple(chosen.column("image_key").to_pylist()), ok_N, correct_N)
