"""What an ablation adds to a report: a heat map of every pair of parameters, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from operators.pictures.heatmaps import MAX_PANELS, heatmap_figure
from operators.report.page import Block, Lines, Picture, Section, Table, Value
from operators.report.pictures import data_uri
from operators.tables.ablation import NOTE, grid_pivots, panel_title, pivot_headers, pivot_title
from operators.tables.ablation_grid import Panel, Pivot, Setting
from operators.tables.accuracy import Result
from operators.tables.formats import NOTHING
from operators.tables.intervals import bounds

MAX_PIVOTS = 24


def ablation_section(
    settings: Sequence[Setting], results: Sequence[Result], splits: Sequence[tuple[str, str]]
) -> Section:
    """Return heat maps and tables by pairs of parameters; without blocks if nothing was varied."""
    made = grid_pivots(settings, results, splits)
    blocks: list[Block] = []
    for pivot in made[:MAX_PIVOTS]:
        title = pivot_title(pivot)
        blocks.append(Picture(data_uri(heatmap_figure(pivot)), f"Heat map of {title}", title))
        blocks += [_table(pivot, panel) for panel in pivot.panels[:MAX_PANELS]]
    note = NOTE + " Nothing is averaged over the other parameters: each combination of them is a table."
    if len(made) > MAX_PIVOTS or any(len(pivot.panels) > MAX_PANELS for pivot in made):
        note += (
            f" The first {MAX_PIVOTS} pairs and {MAX_PANELS} tables each; tables/ablation.md has them all."
        )
    return Section("Ablation", blocks, note)


def _table(pivot: Pivot, panel: Panel) -> Table:
    best = panel.best
    rows: list[list[str | Value | Lines]] = [
        [
            value,
            *(
                Value(f"{score.percent:.1f}", bounds(score.interval), (y, x) == best) if score else NOTHING
                for x, score in enumerate(row)
            ),
        ]
        for y, (value, row) in enumerate(zip(pivot.rows.values, panel.scores, strict=True))
    ]
    return Table(pivot_headers(pivot), rows, words=1, caption=panel_title(panel), sticky=True)
