"""The carried published numbers."""

from __future__ import annotations

import pytest

from operators.datasets.registry import published_size
from operators.methods.catalog import FIRST_BOX
from operators.tables.published import Settings, assumed_results, published_results

B_PAIR, L_PAIR = "ViT-B-32,RN50x16", "ViT-L-14-336,RN50x16"

# FGVP README: RefCOCO, RefCOCO+, RefCOCOg val. Its line "reported in paper" has no settings of its own.
FGVP = {
    ("cpt-adapted", B_PAIR): (41.3, 41.3, 51.3),
    ("P|reclip_blur,R", B_PAIR): (45.8, 47.9, 59.3),
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


# FALIP Table 1: RefCOCO testA, testB, val; RefCOCO+ the same; RefCOCOg test, val.
SPLITS = [(d, s) for d in ("refcoco", "refcoco+") for s in ("testA", "testB", "val")]
SPLITS += [("refcocog", "test"), ("refcocog", "val")]
FALIP = {
    ("falip_circle", "detections"): (38.8, 30.5, 34.9, 41.7, 31.9, 37.7, 39.7, 39.7),
    ("falip_circle", "gold"): (41.6, 36.2, 38.2, 44.7, 37.7, 41.1, 45.4, 45.7),
    ("falip_circle+FA", "detections"): (40.7, 31.7, 35.9, 43.6, 34.0, 39.2, 41.0, 41.6),
    ("falip_circle+FA", "gold"): (41.8, 36.9, 38.2, 45.1, 38.4, 41.6, 46.1, 46.1),
    ("I+FA", "detections"): (41.4, 33.2, 37.5, 44.4, 37.6, 40.3, 45.4, 45.6),
    ("I+FA", "gold"): (44.2, 39.4, 40.8, 46.8, 43.1, 44.5, 51.5, 51.3),
}
ASSUMED = {
    ("falip-s", "gold"): (50.6, 44.8, 48.3, 54.5, 48.6, 52.0, 57.1, 56.9),
    ("falip-redcircle-s", "detections"): (34.3, 30.3, 33.8, 36.8, 31.0, 36.3, 39.1, 39.2),
    ("falip-ensemble-s", "detections"): (51.7, 38.3, 46.7, 57.1, 43.0, 51.9, 54.9, 54.2),
    ("falip-redcircle-ensemble-s", "gold"): (53.5, 41.7, 46.9, 58.5, 45.5, 52.3, 57.3, 56.9),
}


@pytest.mark.parametrize(("settings", "proposals"), FALIP)
def test_falip_with_known_settings(settings: str, proposals: str) -> None:
    numbers = published_results()
    found = [numbers[Settings(settings, "ViT-B-16", proposals, *split)] for split in SPLITS]
    assert tuple(number.accuracy for number in found) == FALIP[settings, proposals]
    assert all(number.source.startswith("FALIP, Table 1,") for number in found)


@pytest.mark.parametrize(("settings", "proposals"), ASSUMED)
def test_falip_with_an_assumption(settings: str, proposals: str) -> None:
    numbers = assumed_results()
    found = [numbers[Settings(settings, "ViT-B-16", proposals, *split)] for split in SPLITS]
    assert tuple(number.accuracy for number, _ in found) == ASSUMED[settings, proposals]
    assert all(assumption for _, assumption in found)


def test_every_number_is_of_a_known_split_and_a_percentage() -> None:
    assumed = {settings: number for settings, (number, _) in assumed_results().items()}
    for settings, number in [*published_results().items(), *assumed.items()]:
        assert published_size(settings.dataset, settings.split)
        assert settings.proposals in ("gold", "detections")
        assert 0 < number.accuracy < 100


def test_no_settings_have_two_numbers() -> None:
    from importlib.resources import files

    lines = files("operators.tables").joinpath("published.csv").read_text(encoding="utf-8").splitlines()
    assert len(published_results()) + len(assumed_results()) == len(lines) - 1
    assert not published_results().keys() & assumed_results().keys()
