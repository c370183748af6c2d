"""Published accuracies, looked up by settings; the numbers are in `published.csv` beside this module."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Settings(NamedTuple):
    """What must agree before a published number may stand beside ours.

    Attributes:
        settings: method in paper notation (`P|D4,R`), or by its name in the catalogue where notation does not
            say everything (`cpt-adapted`); `operators.methods.catalog.find_method` knows both.
        encoders: open_clip names of the ensemble, `–` where none is used.
        proposals: source of the candidate boxes.
    """

    settings: str
    encoders: str
    proposals: str
    dataset: str
    split: str


class Published(NamedTuple):
    """A published accuracy in percent and where it stands."""

    accuracy: float
    source: str


@cache
def published_results() -> dict[Settings, Published]:
    """Return every carried number whose settings are known, by these."""
    return {settings: number for settings, number, assumed in _rows() if not assumed}


@cache
def assumed_results() -> dict[Settings, tuple[Published, str]]:
    """Return the numbers of which some setting is not published: our assumption, and what it is about."""
    return {settings: (number, assumed) for settings, number, assumed in _rows() if assumed}


@cache
def _rows() -> list[tuple[Settings, Published, str]]:
    text = files("operators.tables").joinpath("published.csv").read_text(encoding="utf-8")
    return [
        (
            Settings(row["settings"], row["encoders"], row["proposals"], row["dataset"], row["split"]),
            Published(float(row["accuracy_percent"]), f"{row['paper']}, {row['table']}, {row['method']}"),
            row["assumed"],
        )
        for row in csv.DictReader(text.splitlines())
    ]
