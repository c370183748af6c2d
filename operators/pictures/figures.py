"""Figures as SVG: no script, no address, text as outlines, and the same bytes for the same numbers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from operators.methods.models import encoders_label
from operators.tables.accuracy import Result

STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "visual-prompt-bench",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": "#9aa5b1",
    "text.color": "#1f2933",
    "xtick.color": "#52606d",
    "ytick.color": "#1f2933",
}
COLOURS = {"gold": "#7fb3d5", "detections": "#f2c078", "sam-grid": "#b8bfca"}
PUBLISHED_COLOUR = "#9e2a2b"
BAR_IN, PANEL_IN, LABELS_IN = 0.27, 2.5, 2.3
MAX_BARS = 60
MAX_LABEL_CHARS = 34


def accuracy_figure(results: Sequence[Result], dataset: str, splits: Sequence[str]) -> bytes:
    """Draw accuracies as bars, one panel a split, with 95 % image-clustered intervals.

    Args:
        results: lines of the table, at most `MAX_BARS` of which are drawn.
        dataset: whose splits are drawn.
        splits: one panel each.

    Returns:
        An SVG document.
    """
    shown = results[:MAX_BARS]
    size_in = (LABELS_IN + PANEL_IN * len(splits), 0.95 + BAR_IN * len(shown))
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size_in, layout="constrained")
        panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            _draw_panel(axes, shown, (dataset, split))
        panels[0].set_yticks(range(len(shown)), labels=_labels(shown), parse_math=False)
        panels[0].invert_yaxis()
        _add_legend(figure, shown, any(r.published(dataset, s) for r in shown for s in splits))
        return svg_document(figure)


def _draw_panel(axes: Axes, results: Sequence[Result], split: tuple[str, str]) -> None:
    for y, result in enumerate(results):
        values = result.accuracies(split)
        if not values:
            axes.text(1, y, "nothing scored", va="center", color="#7b8794")
            continue
        value, interval = sum(values) / len(values), result.interval(split)
        axes.barh(y, value, height=0.68, color=COLOURS[result.product.proposals], zorder=2)
        if interval is not None:
            axes.plot(interval, [y, y], "|-", color="#1f2933", linewidth=1.2, markersize=5, zorder=3)
        published = result.published(*split)
        if published:
            axes.plot(published.accuracy, y, "D", color=PUBLISHED_COLOUR, markersize=5, zorder=4)
        end = max(value, interval.high if interval else 0, published.accuracy if published else 0)
        axes.text(end + 1.5, y, f"{value:.1f}", va="center", fontsize=8)
    axes.set_title(" ".join(split), fontsize=10, loc="left", fontweight="bold", parse_math=False)
    axes.set_xlim(0, 112)
    axes.set_ylim(-0.6, len(results) - 0.4)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("accuracy, %")
    axes.grid(axis="x", color="#e4e7eb", zorder=0)
    axes.tick_params(length=0)


def _labels(results: Sequence[Result]) -> list[str]:
    """Name every bar by its method, and by its encoders where those differ."""
    ensembles = {encoders_label(r.product.encoders) for r in results if r.product.encoders}
    labels = []
    for result in results:
        name = result.product.method.name
        if len(ensembles) > 1 and result.product.encoders:
            name += f" · {encoders_label(result.product.encoders)}"
        name = " ".join(name.split())
        labels.append(name if len(name) <= MAX_LABEL_CHARS else name[: MAX_LABEL_CHARS - 1] + "…")
    return labels


def _add_legend(figure: Figure, results: Sequence[Result], with_published: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    sources = dict.fromkeys(result.product.proposals for result in results)
    handles: list[Patch | Line2D] = [Patch(color=COLOURS[name], label=f"{name} boxes") for name in sources]
    handles.append(Line2D([], [], color="#1f2933", linewidth=1.3, label="95 % interval"))
    if with_published:
        marker = Line2D([], [], color=PUBLISHED_COLOUR, marker="D", linestyle="", label="published")
        handles.append(marker)
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=8)


def svg_document(figure: Figure) -> bytes:
    """Write SVG without the document type, metadata and addresses that matplotlib adds."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for child in root.findall("{http://www.w3.org/2000/svg}metadata"):
        root.remove(child)
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
