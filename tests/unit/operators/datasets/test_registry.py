"""The split rule and the published sizes."""

from __future__ import annotations

import pytest

from operators.datasets.formats.refer import belongs_to_split
from operators.datasets.registry import DATASETS


@pytest.mark.parametrize(
    ("ref_split", "splits"),
    [
        ("val", {"val"}),
        ("train", {"train"}),
        ("testA", {"testA", "test"}),
        ("testB", {"testB", "test"}),
        ("testAB", {"testA", "testB", "test"}),
        ("testC", {"test"}),
        ("test", {"test"}),
        ("VAL", {"testA"}),  # REFER looks for the letter alone
        ("", set()),
    ],
)
def test_the_rule(ref_split: str, splits: set[str]) -> None:
    everything = ("train", "val", "testA", "testB", "test")
    assert {split for split in everything if belongs_to_split(ref_split, split)} == splits


def test_published_sizes() -> None:
    sizes = {name: dataset.splits for name, dataset in DATASETS.all().items() if name.startswith("refcoco")}
    expressions = {f"{d} {s}": size.expressions for d, splits in sizes.items() for s, size in splits.items()}
    assert expressions == {
        "refcoco val": 10834,
        "refcoco testA": 5657,
        "refcoco testB": 5095,
        "refcoco+ val": 10758,
        "refcoco+ testA": 5726,
        "refcoco+ testB": 4889,
        "refcocog val": 4896,
        "refcocog test": 9602,
    }
    refs = [size.refs for splits in sizes.values() for size in splits.values()]
    assert refs == [3811, 1975, 1810, 3805, 1975, 1798, 2573, 5023]
