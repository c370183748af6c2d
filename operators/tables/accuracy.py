"""Benchmark tables: one line per method, ensemble and proposal source; Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from operators.datasets.registry import published_size
from operators.methods.catalog import find_method
from operators.methods.method import Method
from operators.methods.models import encoders_label, weights_label
from operators.methods.products import Predictions
from operators.rows.fingerprint import Value
from operators.tables.intervals import Interval, clustered_interval
from operators.tables.metrics import SplitCount
from operators.tables.published import Published, Settings, published_results

Counts = Mapping[tuple[str, str], SplitCount]
NOTHING = "–"
PUBLISHED_SEGMENTER, PUBLISHED_MIN_AREA_PX = "vit_h", 400
DESCRIPTION = ("Method", "Drawings", "Encoders", "Weights", "Proposals")
WORDS = len(DESCRIPTION)
CSV_COLUMNS = (
    *("method", "drawings", "encoders", "weights", "proposals", "dataset", "split"),
    *("seed", "n", "correct", "set_aside", "accuracy_percent", "published_percent", "published_source"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    NOTHING: "--",
    **{mark: "\\" + mark for mark in "&%$#_{}"},
}


@dataclass(frozen=True)
class Result:
    """A line of the table: what was run and what came out, by (dataset, split), for every seed of S."""

    product: Predictions
    seeds: tuple[int | None, ...]
    counts: tuple[Counts, ...]

    @property
    def notation(self) -> str:
        """Return drawings and post-processing as papers write them, or the name if nothing is drawn."""
        return self.product.method.notation

    def accuracies(self, split: tuple[str, str]) -> list[float]:
        """Return the accuracy in percent of every seed that scored anything."""
        values = [counts[split].accuracy for counts in self.counts if split in counts]
        return [value for value in values if value is not None]

    def interval(self, split: tuple[str, str]) -> Interval | None:
        """Return the 95 % image-clustered interval of the accuracy over all seeds; None if unknown."""
        tallies = [counts[split].images for counts in self.counts if split in counts]
        known = [tally for tally in tallies if tally is not None]
        if not known or len({tally.keys for tally in known}) > 1:
            return None
        ok_N, correct_N = np.sum([(tally.ok_N, tally.correct_N) for tally in known], axis=0)
        return clustered_interval(ok_N, correct_N)

    def published(self, dataset: str, split: str) -> Published | None:
        """Return the published number with the same settings on the same, whole split, if there is one."""
        scored = self.counts[0].get((dataset, split), SplitCount()).total
        same = (
            number
            for settings, number in published_results().items()
            if (settings.dataset, settings.split) == (dataset, split)
            and not differences(self.product, settings, scored)
        )
        return next(same, None)

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


def differences(product: Predictions, settings: Settings, scored: int) -> list[str]:
    """Say in what a run differs from a published one; empty where their numbers may be compared.

    Drawings and post-processing must have their published parameters, CLIP OpenAI's weights, SAM must be
    ViT-H, and the split must be whole.

    Args:
        product: what was run.
        settings: of the published number.
        scored: expressions of the split that were accounted for.
    """
    said = _method_differences(product.method.with_seed(0), settings.settings)
    ours = {"encoders": encoders_label(product.encoders), "proposals": product.proposals}
    said += [f"{k} {v}, not {getattr(settings, k)}" for k, v in ours.items() if v != getattr(settings, k)]
    weights = [encoder.weights for encoder in product.encoders]
    labels = dict.fromkeys(m.weights.label for m in product.models if m.weights.label != "real")
    tags = dict.fromkeys(w.tag for w in weights if w.label == "real" and w.tag not in ("", "openai"))
    said += [f"weights {word}" for word in (*labels, *tags)]
    if product.segmenter and product.segmenter.architecture != PUBLISHED_SEGMENTER:
        said.append(f"SAM {product.segmenter.name}")
    said += _precision_differences(product)
    size = published_size(settings.dataset, settings.split)
    if size is None or scored != size.expressions:
        said.append(f"split {scored} of {size.expressions if size else 'unknown size'}")
    return said


def _precision_differences(product: Predictions) -> list[str]:
    """Name what else of the models is not as published: float32 or half precision, SAM's small regions."""
    dtypes = dict.fromkeys(encoder.dtype for encoder in product.encoders if encoder.dtype == "bfloat16")
    said = [f"encoders in {dtype}" for dtype in dtypes]
    if product.segmenter and product.segmenter.dtype != "float32":
        said.append(f"SAM in {product.segmenter.dtype}")
    if product.segmenter and product.segmenter.min_area_px != PUBLISHED_MIN_AREA_PX:
        said.append(f"SAM's regions below {product.segmenter.min_area_px} px are removed")
    return said


def _method_differences(method: Method, notation: str) -> list[str]:
    """Name the settings in which a method is not the published one of that notation or name."""
    try:
        published = find_method(notation)
    except ValueError:
        return ["method"]
    changed = [f for f in Method.model_fields if f != "name" and getattr(method, f) != getattr(published, f)]
    # Drawings have too many settings to be told in a cell; the method's own name and run.json tell them.
    return [_told(f, getattr(method, f), getattr(published, f)) for f in changed]


def _told(field: str, ours: object, theirs: object) -> str:
    if field == "variants":
        return "settings of the drawings"
    if isinstance(ours, Value) and isinstance(theirs, Value):
        names = [name for name, value in ours if value != getattr(theirs, name)]
        return ", ".join(f"{name} {getattr(ours, name)}, not {getattr(theirs, name)}" for name in names)
    return f"{field} {ours}"


def group_seeds(counted: Sequence[tuple[Predictions, Counts]]) -> list[Result]:
    """Join products that differ in nothing but the seed of S into one line each, in order."""
    groups: dict[Predictions, list[tuple[int | None, Counts]]] = {}
    for product, counts in counted:
        subtraction = product.method.subtraction
        groups.setdefault(product.unseeded, []).append((subtraction.seed if subtraction else None, counts))
    return [
        Result(product, tuple(seed for seed, _ in runs), tuple(counts for _, counts in runs))
        for product, runs in groups.items()
    ]


def accuracy_cells(
    results: Sequence[Result], splits: Sequence[tuple[str, str]]
) -> tuple[list[str], list[list[str]]]:
    """Lay results out with one column a split, and one for its published values where any match.

    Accuracy is percent of the expressions that were scored; with S it is the mean and the sample standard
    deviation over the seeds. `n` and `set aside` are summed over the splits.

    Returns:
        The headers, and one row of cells a result.
    """
    headers = [*DESCRIPTION]
    with_published = {s for s in splits if any(result.published(*s) for result in results)}
    for dataset, split in splits:
        headers.append(f"{dataset} {split}")
        if (dataset, split) in with_published:
            headers.append("published")
    rows = []
    for result in results:
        cells = result.description()
        for name in splits:
            cells.append(mean_and_spread(result.accuracies(name)))
            if name in with_published:
                published = result.published(*name)
                cells.append(f"{published.accuracy:.1f}" if published else NOTHING)
        totals = [result.counts[0].get(name, SplitCount()) for name in splits]
        rows.append([*cells, str(sum(c.ok for c in totals)), str(sum(c.quarantined for c in totals))])
    return [*headers, "n", "set aside"], rows


def markdown_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write `accuracy_cells` as Markdown."""
    return markdown(*accuracy_cells(results, splits))


def latex_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write `accuracy_cells` as a LaTeX tabular for the package booktabs."""
    headers, rows = accuracy_cells(results, splits)
    return latex(headers, rows, WORDS * "l" + (len(headers) - WORDS) * "r")


def csv_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write one line per result, seed and split, in full precision, with the published value's source."""
    rows: list[list[object]] = []
    for result in results:
        for seed, counts in zip(result.seeds, result.counts, strict=True):
            for dataset, split in splits:
                count = counts.get((dataset, split), SplitCount())
                numbers = [seed, count.ok, count.correct, count.quarantined, count.accuracy]
                published = result.published(dataset, split) or ("", "")
                rows.append([*result.description(), dataset, split, *numbers, *published])
    return spreadsheet(CSV_COLUMNS, rows)


def mean_and_spread(values: Sequence[float]) -> str:
    """Write percentages with one decimal: their mean, and the sample standard deviation of several."""
    if not values:
        return NOTHING
    return f"{mean(values):.1f}" + (f" ±{stdev(values):.1f}" if len(values) > 1 else "")


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align cells; a bar inside a cell would end it, so it is escaped."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def latex(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: str) -> str:
    """Write a tabular for the package booktabs with LaTeX's letters for the columns (`llr`)."""
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in [headers, *rows]]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """Escape text for LaTeX; control and direction characters, which stop pdfLaTeX, are left out."""
    words = " ".join(text.split())
    return "".join(LATEX.get(c, c) for c in words if not unicodedata.category(c).startswith("C"))


def spreadsheet(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write CSV in which no text can be read as a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(headers)
    for row in rows:
        writer.writerow([_spreadsheet_safe(cell) if isinstance(cell, str) else cell for cell in row])
    return buffer.getvalue()


def _spreadsheet_safe(cell: str) -> str:
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell
