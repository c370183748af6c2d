"""The table of a bench."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from infra.bench.sides import Outcome, Work

STEPS = ("SAM encoder", "SAM decoder", "small regions", "drawing", "CLIP pictures", "texts")


def speed_table(
    outcomes: Mapping[str, Sequence[Outcome]], differences: Mapping[str, tuple[float, int]], work: Work
) -> str:
    """Write what every side took beside the last, as Markdown: medians, with the spread of several.

    Args:
        outcomes: by side.
        differences: largest difference of a probability from the last side's, and decisions that differ.
        work: that was done.
    """
    last = list(outcomes)[-1]
    rows = [_row("whole process, CPU s", outcomes, last, lambda o: o.cpu_s)]
    rows += [_row(f"{step}, CPU s", outcomes, last, partial(_step, step)) for step in STEPS]
    rows.append(_row("share inside models, %", outcomes, None, lambda o: 100 * o.model_s / o.cpu_s))
    rows.append(_row("peak memory, MiB", outcomes, None, lambda o: o.peak_mib))
    told = [f"{most:.1e}, {decisions}" for most, decisions in differences.values()]
    rows.append(["largest difference, other decisions", *told])
    method = work.method.replace("|", "\\|")
    head = [f"{method}, {work.pictures} pictures, {work.threads} threads", *outcomes]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _step(step: str, outcome: Outcome) -> float:
    return outcome.steps.get(step, 0.0)


def _row(
    name: str,
    outcomes: Mapping[str, Sequence[Outcome]],
    last: str | None,
    value: Callable[[Outcome], float],
) -> list[str]:
    """Write one value of every side, and how many times that of the last it is, if that is to be told."""
    medians = {side: statistics.median(map(value, found)) for side, found in outcomes.items()}
    cells = []
    for side, found in outcomes.items():
        values = sorted(map(value, found))
        spread = f" ({values[0]:.1f} to {values[-1]:.1f})" if len(values) > 1 else ""
        ratio = f", {medians[side] / medians[last]:.1f}x" if last and side != last and medians[last] else ""
        cells.append(f"{medians[side]:.1f}{spread}{ratio}")
    return [name, *cells]
