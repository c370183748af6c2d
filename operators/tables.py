"""Benchmark tables: one line per method, ensemble and proposal source; Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from operators.catalog import FIRST_BOX, baseline, encoders_label, weights_label
from operators.datasets.splits import PUBLISHED
from operators.metrics import SplitCount
from operators.products import Predictions
from operators.published import Published, Settings, published_results

Counts = Mapping[tuple[str, str], SplitCount]
NOTHING = "–"
CSV_COLUMNS = (
    *("method", "drawings", "encoders", "weights", "proposals", "dataset", "split"),
    *("seed", "n", "correct", "set_aside", "accuracy_percent", "published_percent", "published_source"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Result:
    """A line of the table: what was run and what came out, by (dataset, split), for every seed of S."""

    product: Predictions
    seeds: tuple[int | None, ...]
    counts: tuple[Counts, ...]

    def accuracies(self, split: tuple[str, str]) -> list[float]:
        """Return the accuracy in percent of every seed that scored anything."""
        values = [counts[split].accuracy for counts in self.counts if split in counts]
        return [value for value in values if value is not None]

    def published(self, dataset: str, split: str) -> Published | None:
        """Return the published number with the same settings on the same, whole split, if there is one."""
        size = PUBLISHED.get(dataset, {}).get(split)
        if size is None or self.counts[0].get((dataset, split), SplitCount()).total != size.expressions:
            return None
        notation, encoders = _published_notation(self.product), encoders_label(self.product.encoders)
        if notation is None:
            return None
        return published_results().get(Settings(notation, encoders, self.product.proposals, dataset, split))

    def description(self) -> list[str]:
        """Return method, drawings, encoders, kind of weights and proposal source."""
        product = self.product
        words = [
            product.method.name,
            product.method.codes,
            encoders_label(product.encoders),
            weights_label(product.models),
            product.proposals,
        ]
        return [" ".join(word.split()) for word in words]  # a folder's name may hold a line break


def _published_notation(product: Predictions) -> str | None:
    """Return the paper notation of a run whose settings are the published ones, else None.

    Drawings and S must have their published parameters, CLIP OpenAI's weights, and SAM must be ViT-H.
    """
    method = product.method.with_seed(0)
    published = baseline(method.notation) if method.variants else FIRST_BOX
    weights = [encoder.weights for encoder in product.encoders]
    same = (
        method.model_copy(update={"name": published.name}) == published
        and all(model.weights.label == "real" for model in product.models)
        and all(w.tag in ("", "openai") for w in weights)
        and (product.segmenter is None or product.segmenter.architecture == "vit_h")
    )
    return published.name if same else None


def group_seeds(counted: Sequence[tuple[Predictions, Counts]]) -> list[Result]:
    """Join products that differ in nothing but the seed of S into one line each, in order."""
    groups: dict[Predictions, list[tuple[int | None, Counts]]] = {}
    for product, counts in counted:
        subtraction = product.method.subtraction
        same = product.model_copy(update={"method": product.method.with_seed(0)})
        groups.setdefault(same, []).append((subtraction.seed if subtraction else None, counts))
    return [
        Result(product, tuple(seed for seed, _ in runs), tuple(counts for _, counts in runs))
        for product, runs in groups.items()
    ]


def markdown_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Lay results out with one column a split, and one for its published values where any match.

    Accuracy is percent of the expressions that were scored; with S it is the mean and the sample standard
    deviation over the seeds. `n` and `set aside` are summed over the splits.
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
            cells.append(_mean_and_spread(result.accuracies(name)))
            if name in with_published:
                published = result.published(*name)
                cells.append(f"{published.accuracy:.1f}" if published else NOTHING)
        totals = [result.counts[0].get(name, SplitCount()) for name in splits]
        rows.append([*cells, str(sum(c.ok for c in totals)), str(sum(c.quarantined for c in totals))])
    return _markdown([*headers, "n", "set aside"], rows)


def csv_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write one line per result, seed and split, in full precision, with the published value's source."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        for seed, counts in zip(result.seeds, result.counts, strict=True):
            for dataset, split in splits:
                count = counts.get((dataset, split), SplitCount())
                words = [_spreadsheet_safe(word) for word in [*result.description(), dataset, split]]
                numbers = [seed, count.ok, count.correct, count.quarantined, count.accuracy]
                writer.writerow([*words, *numbers, *(result.published(dataset, split) or ("", ""))])
    return buffer.getvalue()


def _mean_and_spread(values: Sequence[float]) -> str:
    if not values:
        return NOTHING
    return f"{mean(values):.1f}" + (f" ±{stdev(values):.1f}" if len(values) > 1 else "")


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
