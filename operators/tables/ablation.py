"""Ablations as text: a Markdown table for every panel, and one CSV with every setting and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from operators.methods.method import Proposals
from operators.methods.models import Encoder, encoders_label, weights_label
from operators.tables.ablation_grid import Panel, Pivot, Score, Setting, pivots
from operators.tables.accuracy import Result
from operators.tables.formats import NOTHING, STRONG_IN_LATEX, latex, latex_text, markdown, spreadsheet
from operators.tables.intervals import bounds

NOTE = (
    "Accuracy in percent with its 95 % interval, mean of the splits; bold where the interval lies above all "
    "others of the table."
)


def line_names(results: Sequence[Result]) -> dict[tuple[tuple[Encoder, ...], Proposals], str]:
    """Name every ensemble with every proposal source; ensembles of one name are told apart by weights."""
    ensembles = dict.fromkeys(r.product.encoders for r in results if r.product.encoders)
    names = {e: f"{encoders_label(e)} ({weights_label(e)})" for e in ensembles}
    shared = Counter(names.values())
    for encoders, name in names.items():
        if shared[name] > 1:
            names[encoders] = f"{name} {'+'.join(e.weights.sha256[:8] for e in encoders)}"
    sources = dict.fromkeys(r.product.proposals for r in results)
    return {(e, source): f"{name} · {source}" for e, name in names.items() for source in sources}


def mean_score(result: Result, splits: Sequence[tuple[str, str]]) -> Score | None:
    """Return `mean_accuracy` with its interval."""
    percent = mean_accuracy(result, splits)
    return None if percent is None else Score(percent, result.mean_interval(splits))


def mean_accuracy(result: Result, splits: Sequence[tuple[str, str]]) -> float | None:
    """Return the mean of the splits' accuracies in percent, as FALIP's tables average; None without any."""
    found = [mean(values) for split in splits if (values := result.accuracies(split))]
    return mean(found) if found else None


def grid_pivots(
    settings: Sequence[Setting], results: Sequence[Result], splits: Sequence[tuple[str, str]]
) -> list[Pivot]:
    """Lay the mean accuracies of a grid out by every pair of parameters."""
    lines = line_names(results)
    scores = {
        (r.product.method.name, lines[r.product.encoders, r.product.proposals]): mean_score(r, splits)
        for r in results
        if r.product.encoders
    }
    return pivots(settings, scores, lines.values())


def pivot_title(pivot: Pivot) -> str:
    """Name a drawing and the parameters that a pivot varies."""
    return f"{pivot.drawing}: {_names(pivot)}"


def panel_title(panel: Panel) -> str:
    """Say what a panel holds fixed."""
    return " · ".join(filter(None, (panel.line, panel.fixed)))


def pivot_headers(pivot: Pivot) -> list[str]:
    """Return the headers of a panel's table; the first parameter goes down, the second across."""
    return [_names(pivot), *(value or "accuracy" for value in pivot.columns.values)]


def pivot_markdown(made: Sequence[Pivot]) -> str:
    """Write all panels of all pairs of parameters as Markdown."""
    parts = []
    for pivot in made:
        parts.append(f"## {pivot_title(pivot)}\n\n{NOTE}\n")
        for panel in pivot.panels:
            parts += [
                panel_title(panel) + "\n",
                markdown(pivot_headers(pivot), _rows(pivot, panel, "**{}**")),
            ]
    return "\n".join(parts)


def pivot_latex(made: Sequence[Pivot]) -> str:
    """Write the same as LaTeX tabulars for the package booktabs, a comment above each saying what it is."""
    parts = []
    for pivot in made:
        for panel in pivot.panels:
            parts.append(f"% {latex_text(pivot_title(pivot))}; {latex_text(panel_title(panel))}\n")
            columns = "l" + "r" * len(pivot.columns.values)
            parts.append(latex(pivot_headers(pivot), _rows(pivot, panel, STRONG_IN_LATEX), columns))
    return "".join(parts)


def settings_table(
    settings: Sequence[Setting], results: Sequence[Result], splits: Sequence[tuple[str, str]]
) -> str:
    """Write CSV with one line per setting, ensemble, proposal source and split, a column per parameter.

    Accuracy is the mean over the seeds of S; the bounds are the 95 % image-clustered interval.
    """
    names = list(dict.fromkeys(name for setting in settings for name, _ in setting.values))
    headers = ["drawing", *names, "post", "method", "drawings", "encoders", "weights", "proposals"]
    headers += ["dataset", "split", "accuracy_percent", "seeds", "n", "low_percent", "high_percent"]
    rows: list[list[object]] = []
    for setting in settings:
        values = dict(setting.values)
        for result in results:
            if result.product.method.name != setting.method:
                continue
            for split in splits:
                words = [setting.drawing, *(values.get(name, "") for name in names), setting.post]
                rows.append([*words, *result.description(), *split, *_numbers(result, split)])
    return spreadsheet(headers, rows)


def _numbers(result: Result, split: tuple[str, str]) -> list[object]:
    found = result.accuracies(split)
    if not found:
        return ["", 0, 0, "", ""]
    return [mean(found), len(found), result.counts[0][split].ok, *(result.interval(split) or ("", ""))]


def _names(pivot: Pivot) -> str:
    return " × ".join(filter(None, (pivot.rows.name, pivot.columns.name)))


def _rows(pivot: Pivot, panel: Panel, strong: str) -> list[list[str]]:
    best = panel.best
    return [
        [value, *(_cell(score, strong if (y, x) == best else "{}") for x, score in enumerate(row))]
        for y, (value, row) in enumerate(zip(pivot.rows.values, panel.scores, strict=True))
    ]


def _cell(score: Score | None, written: str) -> str:
    if score is None:
        return NOTHING
    return " ".join(filter(None, (written.format(f"{score.percent:.1f}"), bounds(score.interval))))
