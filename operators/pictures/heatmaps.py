"""Heat maps of ablations: one panel for everything that is held fixed, one colour scale for all of them."""

from __future__ import annotations

import warnings
from math import ceil
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from operators.pictures.figures import STYLE, svg_document
from operators.tables.ablation_grid import Axis, Panel, Pivot

COLOURS = "cividis"
FRAME: dict[str, Any] = {"edgecolor": "#d64545", "linewidth": 1.6}
CELL_IN, LABELS_IN, TITLES_IN = (0.75, 0.42), 1.5, 1.1
PANELS_ABREAST = 4
MAX_PANELS = 48
MAX_LABEL_CHARS = 24
# Of the colour scale, which runs from dark to light; text on what lies above is black.
LIGHT = 0.6


def heatmap_figure(pivot: Pivot) -> bytes:
    """Draw accuracies by two parameters; what is clearly the best of a panel is framed.

    Args:
        pivot: a pair of parameters; at most `MAX_PANELS` of its panels are drawn (tables hold all).

    Returns:
        An SVG document; equal numbers give equal bytes.
    """
    panels = pivot.panels[:MAX_PANELS]
    known = [score.percent for panel in panels for row in panel.scores for score in row if score]
    limits = (min(known), max(known)) if known else (0.0, 100.0)
    abreast = min(PANELS_ABREAST, len(panels))
    down = ceil(len(panels) / abreast)
    size_in = (
        abreast * (LABELS_IN + CELL_IN[0] * max(len(pivot.columns.values), 3)),
        down * (TITLES_IN + CELL_IN[1] * len(pivot.rows.values)),
    )
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size_in, layout="constrained")
        places = figure.subplots(down, abreast, squeeze=False).ravel()
        for axes, panel in zip(places, panels, strict=False):
            _draw(axes, pivot, panel, limits)
        for axes in places[len(panels) :]:
            axes.set_axis_off()
        figure.suptitle(f"{pivot.drawing}: accuracy, %", fontsize=10, fontweight="bold", parse_math=False)
        return svg_document(figure)


def _draw(axes: Axes, pivot: Pivot, panel: Panel, limits: tuple[float, float]) -> None:
    low, high = limits
    best = panel.best
    numbers = [[score.percent if score else float("nan") for score in row] for row in panel.scores]
    axes.pcolormesh(numbers, cmap=COLOURS, vmin=low, vmax=high, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    for y, row in enumerate(panel.scores):
        for x, score in enumerate(row):
            if score is None:
                axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center")
                continue
            light = score.percent - low > LIGHT * (high - low) > 0
            ink = "black" if light else "white"
            axes.text(x + 0.5, y + 0.5, f"{score.percent:.1f}", ha="center", va="center", color=ink)
            if (y, x) == best:
                axes.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, fill=False, **FRAME))
    axes.set_title(
        "\n".join(filter(None, (panel.line, panel.fixed))), fontsize=8, loc="left", parse_math=False
    )
    axes.set_yticks(_middles(pivot.rows), labels=_labels(pivot.rows), parse_math=False)
    axes.set_xticks(_middles(pivot.columns), labels=_labels(pivot.columns), parse_math=False)
    axes.set_ylabel(pivot.rows.name, parse_math=False)
    axes.set_xlabel(pivot.columns.name, parse_math=False)
    axes.tick_params(length=0)


def _middles(axis: Axis) -> list[float]:
    return [index + 0.5 for index in range(len(axis.values))]


def _labels(axis: Axis) -> list[str]:
    return [v if len(v) <= MAX_LABEL_CHARS else v[: MAX_LABEL_CHARS - 1] + "…" for v in axis.values]
