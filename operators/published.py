"""Published accuracies, looked up by settings; the numbers are in `published.csv` beside this module."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Settings(NamedTuple):
    """What must agree before a published number may stand beside ours.

    Attributes:
        settings: method in paper notation (`P|D4,R`).
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
    """Return every carried number by its settings."""
    text = files("operators").joinpath("published.csv").read_text(encoding="utf-8")
    return {
        Settings(row["settings"], row["encoders"], row["proposals"], row["dataset"], row["split"]): Published(
            float(row["accuracy_percent"]), f"{row['paper']}, {row['table']}, {row['method']}"
        )
        for row in csv.DictReader(text.splitlines())
    }
