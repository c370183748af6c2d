"""The carried published numbers."""

from __future__ import annotations

import pytest

from operators.catalog import FIRST_BOX
from operators.datasets.splits import PUBLISHED
from operators.published import Settings, published_results

B_PAIR, L_PAIR = "ViT-B-32,RN50x16", "ViT-L-14-336,RN50x16"

# FGVP README: RefCOCO, RefCOCO+, RefCOCOg val. Its line "reported in paper" has no settings of its own.
FGVP = {
    ("P|B2,R", B_PAIR): (41.3, 41.3, 51.3),
    ("P|B4,R", B_PAIR): (45.8, 47.9, 59.3),
    ("P|C1,R", B_PAIR): (43.9, 45.3, 57.3),
    ("P|D4,R", B_PAIR): (52.0, 53.3, 62.1),
    ("C1|C3|C4,S", L_PAIR): (51.4, 56.3, 58.3),
    ("D1|D3|D4,S", L_PAIR): (52.9, 57.4, 58.1),
    ("P|C1|C3|C4,S", L_PAIR): (51.6, 58.1, 60.0),
    ("P|D1|D3|D4,S", L_PAIR): (53.9, 59.3, 61.0),
    ("P|C1|C3|C4,RS", L_PAIR): (56.8, 58.6, 62.2),
    ("P|D1|D3|D4,RS", L_PAIR): (59.6, 60.0, 63.3),
}


@pytest.mark.parametrize(("settings", "encoders"), FGVP)
def test_fgvp_readme(settings: str, encoders: str) -> None:
    found = [
        published_results()[Settings(settings, encoders, "detections", dataset, "val")]
        for dataset in ("refcoco", "refcoco+", "refcocog")
    ]
    assert tuple(number.accuracy for number in found) == FGVP[settings, encoders]
    assert all(number.source.startswith("FGVP, README") for number in found)


def test_no_other_number_is_said_to_be_from_the_fgvp_readme() -> None:
    numbers = published_results()
    assert sum(number.source.startswith("FGVP") for number in numbers.values()) == 3 * len(FGVP)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("refcoco", {"testA": 14.8, "testB": 25.5, "val": 19.5}),
        ("refcoco+", {"testA": 14.7, "testB": 26.1, "val": 19.8}),
        ("refcocog", {"test": 25.5, "val": 26.3}),
    ],
)
def test_first_gold_box(dataset: str, expected: dict[str, float]) -> None:
    numbers = published_results()
    found = {
        split: numbers[Settings(FIRST_BOX.name, "–", "gold", dataset, split)].accuracy for split in expected
    }
    assert found == expected
    assert Settings(FIRST_BOX.name, "–", "detections", dataset, "val") not in numbers


def test_every_number_is_of_a_known_split_and_a_percentage() -> None:
    for settings, number in published_results().items():
        assert settings.split in PUBLISHED[settings.dataset]
        assert settings.proposals in ("gold", "detections")
        assert 0 < number.accuracy < 100


def test_no_settings_have_two_numbers() -> None:
    from importlib.resources import files

    lines = files("operators").joinpath("published.csv").read_text(encoding="utf-8").splitlines()
    assert len(published_results()) == len(lines) - 1
