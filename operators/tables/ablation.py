"""Ablations as text: a Markdown table for every panel, and one CSV with every setting and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from operators.methods.method import Proposals
from operators.methods.models import Encoder, encoders_label, weights_label
from operators.tables.ablation_grid import Pivot, Setting
from operators.tables.accuracy import Result
from operators.tables.formats import NOTHING, markdown, spreadsheet

NOTE = "Accuracy in percent, mean of the splits; the best of a table is bold."


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


def mean_accuracy(result: Result, splits: Sequence[tuple[str, str]]) -> float | None:
    """Return the mean of the splits' accuracies in percent, as FALIP's tables average; None without any."""
    found = [mean(values) for split in splits if (values := result.accuracies(split))]
    return mean(found) if found else None


def pivot_section(pivot: Pivot) -> str:
    """Write all panels of a pair of parameters; the first parameter goes down, the second across."""
    names = " × ".join(filter(None, (pivot.rows.name, pivot.columns.name)))
    parts = [f"## {pivot.drawing}: {names}\n\n{NOTE}\n"]
    for panel in pivot.panels:
        headers = [names if pivot.columns.name else pivot.rows.name]
        headers += [value or "accuracy" for value in pivot.columns.values]
        rows = [
            [value, *(_cell(number, panel.best) for number in row)]
            for value, row in zip(pivot.rows.values, panel.percent, strict=True)
        ]
        parts.append(" · ".join(filter(None, (panel.line, panel.fixed))) + "\n")
        parts.append(markdown(headers, rows))
    return "\n".join(parts)


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


def _cell(number: float | None, best: float | None) -> str:
    if number is None:
        return NOTHING
    return f"**{number:.1f}**" if number == best else f"{number:.1f}"
