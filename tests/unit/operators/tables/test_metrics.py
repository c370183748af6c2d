"""Counting right answers from stored predictions."""

from __future__ import annotations

import pyarrow as pa
import pytest

from operators.rows.records import PREDICTIONS
from operators.tables.metrics import SplitCount, count_predictions


def prediction(expression_id: str, correct: bool | None = True, **changes: object) -> dict:
    values = {
        "dataset": "refcoco",
        "split": "val",
        "ref_id": "0",
        "expression_id": expression_id,
        "candidate_region_ids": [0],
        "correct": correct,
        "status": "ok",
    }
    return values | changes


def part(*rows: list[dict]) -> pa.Table:
    content = [{"image_key": str(i), "predictions": row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(content, schema=PREDICTIONS)


def test_counts_by_split_over_parts_and_images() -> None:
    aside = {"status": "quarantined", "error": {"stage": "score", "code": "x", "message": ""}}
    parts = [
        part([prediction("0"), prediction("1", False)], [], [prediction("2")]),
        part([prediction("3", None, **aside), prediction("0", True, dataset="refcoco+")]),
        part(),
    ]
    counts = count_predictions(parts)
    assert counts == {("refcoco", "val"): SplitCount(3, 2, 1), ("refcoco+", "val"): SplitCount(1, 1, 0)}
    assert counts["refcoco", "val"].total == 4
    assert counts["refcoco", "val"].accuracy == pytest.approx(100 * 2 / 3)


def test_what_was_set_aside_is_never_right() -> None:
    counts = count_predictions([part([prediction("0", True, status="quarantined")])])
    assert counts["refcoco", "val"] == SplitCount(0, 0, 1)
    assert counts["refcoco", "val"].accuracy is None


def test_nothing() -> None:
    assert count_predictions([]) == {}
    assert SplitCount().accuracy is None


@pytest.mark.parametrize("split", ["val", "testA"])
def test_an_expression_counts_once_a_dataset(split: str) -> None:
    with pytest.raises(ValueError, match="expression 7 of refcoco was predicted twice"):
        count_predictions([part([prediction("7")]), part([prediction("7", split=split)])])


def test_counts_by_image_do_not_depend_on_the_order_of_the_shards() -> None:
    def named(key: str, *row: dict) -> pa.Table:
        return pa.Table.from_pylist([{"image_key": key, "predictions": list(row)}], schema=PREDICTIONS)

    aside = prediction("3", None, status="quarantined")
    parts = [
        named("b", prediction("0"), prediction("1", False), aside),
        named("a", prediction("2", False)),
        named("c"),
    ]
    tallies = [count_predictions(order)["refcoco", "val"].images for order in (parts, parts[::-1])]
    for tally in tallies:
        assert tally.keys == ("a", "b")
        assert tally.ok_N.tolist() == [1, 2]
        assert tally.correct_N.tolist() == [0, 1]
