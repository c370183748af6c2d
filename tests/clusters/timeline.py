"""What a cluster looked like while a job ran on it, as numbers and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure


class Moment(NamedTuple):
    """One look at a cluster: seconds since the first, live nodes, model actors, predictions parts written."""

    seconds: float
    nodes: int
    actors: int
    parts: int


def read(file: Path) -> list[Moment]:
    """Read the lines that `job_on_fake_gpus.py` writes."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return [Moment(float(s), int(n), int(a), int(p)) for s, n, a, p in lines]


def draw(moments: list[Moment], title: str, file: Path) -> None:
    """Draw nodes, actors and finished parts over time."""
    seconds = [moment.seconds for moment in moments]
    figure = Figure(figsize=(8, 4), layout="constrained")
    left = figure.subplots()
    left.step(seconds, [m.nodes for m in moments], where="post", color="#1d5f8a", label="nodes")
    left.step(
        seconds, [m.actors for m in moments], where="post", color="#e09f3e", label="actors of the stages"
    )
    left.set_xlabel("seconds")
    left.set_ylabel("nodes, actors")
    left.set_ylim(bottom=0)
    right = left.twinx()
    parts = [m.parts for m in moments]
    right.fill_between(seconds, parts, step="post", color="#2b9348", alpha=0.2, label="predictions parts")
    right.set_ylabel("predictions parts written")
    right.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title, fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
