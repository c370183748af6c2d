"""Benchmark tables: one line per method, ensemble and proposal source; Markdown, LaTeX and CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev
from types import MappingProxyType

import numpy as np

from operators.methods.models import encoders_label, weights_label
from operators.methods.products import Predictions
from operators.tables.comparable import differences
from operators.tables.formats import NOTHING, STRONG_IN_LATEX, latex, markdown, spreadsheet
from operators.tables.intervals import Interval, bounds, clearly_best, clustered_interval
from operators.tables.metrics import SplitCount
from operators.tables.published import Published, published_results

Counts = Mapping[tuple[str, str], SplitCount]
Banks = Mapping[tuple[str, str], int]
# Beside a mean over seeds that cannot differ.
ALL_CAPTIONS = "†"
ALL_CAPTIONS_NOTE = (
    f"{ALL_CAPTIONS} all captions used: the bank holds no more than S draws, so no seed decides."
)
DESCRIPTION = ("Method", "Drawings", "Encoders", "Weights", "Proposals")
WORDS = len(DESCRIPTION)
CSV_COLUMNS = (
    *("method", "drawings", "encoders", "weights", "proposals", "dataset", "split"),
    *("seed", "n", "correct", "set_aside", "accuracy_percent", "low_percent", "high_percent"),
    *("published_percent", "published_source"),
)


@dataclass(frozen=True)
class Result:
    """A line of the table: what was run and what came out, by (dataset, split), for every seed of S.

    Attributes:
        banks: number of captions by (dataset, split), as far as it is known.
    """

    product: Predictions
    seeds: tuple[int | None, ...]
    counts: tuple[Counts, ...]
    banks: Banks = field(default_factory=dict)

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
        return self.mean_interval([split])

    def mean_interval(self, splits: Sequence[tuple[str, str]]) -> Interval | None:
        """Return the same of the mean of the splits' accuracies, an image of several splits drawn once."""
        tallies = [(s, c[split].images) for c in self.counts for s, split in enumerate(splits) if split in c]
        known = [(s, tally) for s, tally in tallies if tally is not None]
        places = {key: i for i, key in enumerate(sorted({key for _, tally in known for key in tally.keys}))}
        counts = np.zeros((2, len(splits), len(places)), dtype=np.int64)
        for s, tally in known:
            images = [places[key] for key in tally.keys]
            counts[:, s, images] += (tally.ok_N, tally.correct_N)
        return clustered_interval(*counts) if known and len(known) == len(tallies) else None

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

    def draws_all(self, split: tuple[str, str]) -> bool:
        """Say whether S draws the whole bank of a split, so that its seed decides nothing."""
        subtraction = self.product.method.subtraction
        return subtraction is not None and subtraction.captions >= self.banks.get(split, math.inf)

    def totals(self, splits: Sequence[tuple[str, str]]) -> tuple[int, int]:
        """Return how many expressions of some splits were scored, and how many set aside."""
        counts = [self.counts[0].get(name, SplitCount()) for name in splits]
        return sum(c.ok for c in counts), sum(c.quarantined for c in counts)

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


def group_seeds(
    counted: Sequence[tuple[Predictions, Counts]], banks: Banks = MappingProxyType({})
) -> list[Result]:
    """Join products that differ in nothing but the seed of S into one line each, in order.

    Args:
        counted: products with their counts.
        banks: number of captions by (dataset, split).
    """
    groups: dict[Predictions, list[tuple[int | None, Counts]]] = {}
    for product, counts in counted:
        subtraction = product.method.subtraction
        groups.setdefault(product.unseeded, []).append((subtraction.seed if subtraction else None, counts))
    return [
        Result(product, tuple(seed for seed, _ in runs), tuple(counts for _, counts in runs), banks)
        for product, runs in groups.items()
    ]


@dataclass(frozen=True)
class Cell:
    """One accuracy of the table.

    Attributes:
        accuracies: in percent, of every seed.
        interval: the 95 % image-clustered interval over all seeds; None if it is unknown.
        all_captions: S compared with the whole bank, so that seeds cannot differ.
        best: the interval lies above those of all other lines with the same proposals.
        published: the number published for the same settings, if there is one.
    """

    accuracies: list[float]
    interval: Interval | None
    all_captions: bool = False
    best: bool = False
    published: float | None = None

    @property
    def mean(self) -> str:
        """Return the mean over the seeds, marked where they drew the same captions."""
        if not self.accuracies:
            return NOTHING
        return f"{mean(self.accuracies):.1f}{ALL_CAPTIONS if self.all_captions else ''}"

    @property
    def detail(self) -> str:
        """Return the spread over the seeds and the interval."""
        words = []
        if len(self.accuracies) > 1 and not self.all_captions:
            words.append(f"±{stdev(self.accuracies):.1f}")
        if self.accuracies and self.interval:
            words.append(bounds(self.interval))
        return " ".join(words)

    @property
    def text(self) -> str:
        """Return mean, spread and interval as one text."""
        return " ".join(filter(None, (self.mean, self.detail)))


def accuracy_grid(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> list[list[Cell]]:
    """Return a row of cells for every result, one a split."""
    columns = [_column(results, split) for split in splits]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in results]


def _column(results: Sequence[Result], split: tuple[str, str]) -> list[Cell]:
    cells = []
    for result in results:
        published = result.published(*split)
        cells.append(
            Cell(
                result.accuracies(split),
                result.interval(split),
                result.draws_all(split),
                published=published.accuracy if published else None,
            )
        )
    sources = [result.product.proposals for result in results]
    intervals = [cell.interval if cell.accuracies else None for cell in cells]
    return [replace(cell, best=clearly_best(i, intervals, sources)) for i, cell in enumerate(cells)]


def accuracy_cells(
    results: Sequence[Result], splits: Sequence[tuple[str, str]], strong: str = "{}"
) -> tuple[list[str], list[list[str]]]:
    """Lay results out with one column a split, and one for its published values where any match.

    Accuracy is percent of the expressions that were scored, with its interval; with S it is the mean and the
    sample standard deviation over the seeds. `n` and `set aside` are summed over the splits.

    Args:
        results: lines of the table.
        splits: its columns.
        strong: how a mean is written that is clearly the best of its column.

    Returns:
        The headers, and one row of cells a result.
    """
    grid = accuracy_grid(results, splits)
    with_published = [any(row[i].published is not None for row in grid) for i in range(len(splits))]
    headers = [*DESCRIPTION]
    for (dataset, split), published in zip(splits, with_published, strict=True):
        headers += [f"{dataset} {split}", *(["published"] if published else [])]
    rows = []
    for result, line in zip(results, grid, strict=True):
        cells = result.description()
        for cell, published in zip(line, with_published, strict=True):
            written = strong.format(cell.mean) if cell.best else cell.mean
            cells.append(" ".join(filter(None, (written, cell.detail))))
            if published:
                cells.append(NOTHING if cell.published is None else f"{cell.published:.1f}")
        rows.append([*cells, *map(str, result.totals(splits))])
    return [*headers, "n", "set aside"], rows


def markdown_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write `accuracy_cells` as Markdown, with what its marks mean."""
    table = markdown(*accuracy_cells(results, splits, strong="**{}**"))
    return f"{table}\n{ALL_CAPTIONS_NOTE}\n" if ALL_CAPTIONS in table else table


def latex_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write `accuracy_cells` as a LaTeX tabular for the package booktabs."""
    headers, rows = accuracy_cells(results, splits, strong=STRONG_IN_LATEX)
    return latex(headers, rows, WORDS * "l" + (len(headers) - WORDS) * "r")


def csv_table(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Write one line per result, seed and split, in full precision, with the published value's source.

    The interval is that of the result, over all its seeds.
    """
    rows: list[list[object]] = []
    for result in results:
        for seed, counts in zip(result.seeds, result.counts, strict=True):
            for dataset, split in splits:
                count = counts.get((dataset, split), SplitCount())
                numbers = [seed, count.ok, count.correct, count.quarantined, count.accuracy]
                published = result.published(dataset, split) or ("", "")
                interval = result.interval((dataset, split)) or ("", "")
                rows.append([*result.description(), dataset, split, *numbers, *interval, *published])
    return spreadsheet(CSV_COLUMNS, rows)
