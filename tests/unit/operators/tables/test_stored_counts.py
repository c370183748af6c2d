"""Counts as a table and back."""

from __future__ import annotations

import numpy as np
import pytest

from operators.datasets.facts import Reason
from operators.tables.metrics import ImageTally, SplitCount
from operators.tables.stored_counts import counts_table, read_counts

REASON = Reason(of="expressions", code="text.empty", count=2, example="refcoco/val 7: no words")


def tally(*rows: tuple[str, int, int]) -> ImageTally:
    keys, ok, correct = zip(*rows, strict=True)
    return ImageTally(keys, np.array(ok), np.array(correct))


def test_everything_comes_back() -> None:
    counts = {
        ("refcoco", "val"): SplitCount(5, 3, 2, tally(("a", 2, 1), ("ü", 3, 2))),
        ("refcoco", "testA"): SplitCount(1, 0, 0, tally(("a", 1, 0))),
        ("refcocog", "val"): SplitCount(4, 4, 0),
    }
    found, reasons = read_counts(counts_table(counts, [REASON]))
    assert found == counts and list(found) == list(counts)
    assert reasons == [REASON]
    assert found["refcocog", "val"].images is None
    images = found["refcoco", "val"].images
    assert images is not None and images.keys == ("a", "ü")
    assert images.ok_N.tolist() == [2, 3] and images.correct_N.tolist() == [1, 2]


@pytest.mark.parametrize("counts", [{}, {("refcoco", "val"): SplitCount(0, 0, 9)}])
def test_without_images(counts: dict) -> None:
    assert read_counts(counts_table(counts, [])) == (counts, [])
