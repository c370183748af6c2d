"""Benchmark tables: one line per method, ensemble and proposal source; Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operators.catalog import encoders_label, weights_label
from operators.metrics import SplitCount
from operators.products import Predictions
from operators.published import Published, Settings, published_results

NOTHING = "–"
CSV_COLUMNS = (
    *("method", "drawings", "encoders", "weights", "proposals", "dataset", "split"),
    *("n", "correct", "set_aside", "accuracy_percent", "published_percent", "published_source"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Result:
    """A line of the table: what was run and what came out, by (dataset, split)."""

    product: Predictions
    counts: Mapping[tuple[str, str], SplitCount]

    def published(self, dataset: str, split: str) -> Published | None:
        """Return the published number with the same settings, if there is one."""
        method, encoders = self.product.method.name, encoders_label(self.product.encoders)
        return published_results().get(Settings(method, encoders, self.product.proposals, dataset, split))

    def description(self) -> list[str]:
        """Return method, drawings, encoders, kind of weights and proposal source."""
        product = self.product
        return [
            product.method.name,
            product.method.codes,
            encoders_label(product.encoders),
            weights_label(product.encoders),
            product.proposals,
        ]


def markdown_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Lay results out with one column a split, and one for its published values where any match.

    Accuracy is percent of the expressions that were scored; `n` and `set aside` are summed over the splits.
    """
    headers = ["Method", "Drawings", "Encoders", "Weights", "Proposals"]
    with_published = {s for s in splits if any(result.published(*s) for result in results)}
    for dataset, split in splits:
        headers.append(f"{dataset} {split}")
        if (dataset, split) in with_published:
            headers.append("published")
    rows = []
    for result in results:
        cells = result.description()
        for name in splits:
            cells.append(_percent(result.counts.get(name, SplitCount()).accuracy))
            if name in with_published:
                published = result.published(*name)
                cells.append(_percent(published.accuracy if published else None))
        total = [result.counts.get(name, SplitCount()) for name in splits]
        rows.append([*cells, str(sum(c.ok for c in total)), str(sum(c.quarantined for c in total))])
    return _markdown([*headers, "n", "set aside"], rows)


def csv_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write one line per result and split, with full precision and the source of the published value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        for dataset, split in splits:
            count = result.counts.get((dataset, split), SplitCount())
            published = result.published(dataset, split)
            numbers = [count.ok, count.correct, count.quarantined, count.accuracy]
            source = [published.accuracy, published.source] if published else ["", ""]
            writer.writerow(
                [_spreadsheet_safe(c) for c in [*result.description(), dataset, split]] + numbers + source
            )
    return buffer.getvalue()


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _markdown(headers: list[str], rows: list[list[str]]) -> str:
    """Align cells; a bar inside a cell would end it, so it is escaped."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _spreadsheet_safe(cell: str) -> str:
    """Keep a spreadsheet from reading text as a formula."""
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell
