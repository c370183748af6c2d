"""The reproduction table: published numbers beside ours, and whether they may be compared at all.

A line of the results has a counterpart if a published number carries its notation (drawings and
post-processing, in order) on the same split. Of several the one with most settings in common is taken.
Whatever still differs is named in the row, and so is what the paper does not say: such a row shows distance,
not failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from statistics import mean
from typing import NamedTuple

from operators.methods.catalog import find_method
from operators.tables.accuracy import Result
from operators.tables.comparable import differences
from operators.tables.formats import NOTHING, latex, markdown, mean_and_spread, spreadsheet
from operators.tables.intervals import Interval
from operators.tables.metrics import SplitCount
from operators.tables.published import Published, Settings, assumed_results, published_results

NOTE = (
    "Difference is ours minus published, in points. The interval is the 95 % bootstrap interval of ours with "
    "images drawn whole; inside says that it holds the published number. A row whose settings differ from "
    "the published ones, or assumes one that was not published, says which, and is no reproduction."
)
HEADERS = (
    *("Method", "Encoders", "Prompts", "Post-processing", "Proposals", "Split"),
    *("Published by", "Differs in"),
)
NUMBERS = ("published", "ours", "difference", "n", "95 % interval", "published is")
CSV_COLUMNS = (
    *("method", "encoders", "weights", "prompts", "post_processing", "proposals", "dataset", "split"),
    *("published_percent", "published_source", "ours_percent", "seeds", "difference_points", "n"),
    *("low_percent", "high_percent", "published_inside", "differs_in"),
)


# rec_scoring spec section 10; another version parses some expressions in another way.
PUBLISHED_PARSER = "en_core_web_sm-3.0.0"
Splits = Mapping[tuple[str, str], Sequence[str]]


class Comparison(NamedTuple):
    """A published number beside ours on one split; `differs` names the settings that may not be the same."""

    result: Result
    split: tuple[str, str]
    published: Published
    accuracies: list[float]
    interval: Interval | None
    differs: list[str]

    @property
    def difference(self) -> float:
        """Return ours minus published, in points."""
        return mean(self.accuracies) - self.published.accuracy

    @property
    def inside(self) -> bool | None:
        """Say whether the interval holds the published number; None without an interval."""
        return self.interval.holds(self.published.accuracy) if self.interval else None

    @property
    def scored(self) -> int:
        """Return how many expressions ours is about."""
        return self.result.counts[0][self.split].ok


def compare(results: Sequence[Result], splits: Splits) -> list[Comparison]:
    """Find the published counterpart of every result on every split, where there is one.

    Args:
        results: lines of the accuracy table.
        splits: (dataset, split) -> what made the parses of its expressions.
    """
    comparisons = []
    for result in results:
        for split in splits:
            accuracies, closest = result.accuracies(split), _closest(result, split)
            if accuracies and closest:
                published, differs = closest
                if result.product.relations and list(splits[split]) != [PUBLISHED_PARSER]:
                    differs = [*differs, f"parses of {', '.join(splits[split]) or 'nobody'}"]
                comparisons.append(
                    Comparison(result, split, published, accuracies, result.interval(split), differs)
                )
    return comparisons


def matched_line(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> str:
    """Say how many cells of the accuracy table have a published number with the same notation beside them."""
    cells = [(result, split) for result in results for split in splits if result.accuracies(split)]
    closest = [_closest(result, split) for result, split in cells]
    same = sum(found is not None and not found[1] for found in closest)
    matched = sum(found is not None for found in closest)
    return (
        f"published numbers: {matched} of {len(cells)} results have one with the same notation, {same} of "
        "them with the same settings"
    )


def reproduction_tables(results: Sequence[Result], splits: Splits) -> dict[str, str]:
    """Return the table by suffix, `md`, `tex` and `csv`; nothing without a counterpart (`compare`)."""
    headers, rows = reproduction_cells(results, splits)
    if not rows:
        return {}
    columns = (len(HEADERS) - 1) * "l" + "p{60mm}" + len(NUMBERS) * "r"  # what differs takes many words
    return {
        "md": f"{markdown(headers, rows)}\n{NOTE}\n",
        "tex": latex(headers, rows, columns),
        "csv": spreadsheet(CSV_COLUMNS, [_csv_row(comparison) for comparison in compare(results, splits)]),
    }


def reproduction_cells(results: Sequence[Result], splits: Splits) -> tuple[list[str], list[list[str]]]:
    """Lay the comparisons out, one row a result and split: the headers, and the cells."""
    return [*HEADERS, *NUMBERS], [_cells(comparison) for comparison in compare(results, splits)]


def _closest(result: Result, split: tuple[str, str]) -> tuple[Published, list[str]] | None:
    """Return the published number with the fewest settings that differ, and these; the first of equals.

    A number under the method's own name goes before all; a setting that differs counts before one that was
    not published.
    """
    product, count = result.product, result.counts[0].get(split, SplitCount())
    name = product.method.name
    found = [
        (settings.settings != name, differences(product, settings, count.total), unknown, number)
        for settings, number, unknown in _carried().get((result.notation, *split), [])
    ]
    if not found:
        return None
    _, differs, unknown, number = min(found, key=lambda line: (line[0], len(line[1]), len(line[2])))
    return number, differs + unknown


@cache
def _carried() -> dict[tuple[str, str, str], list[tuple[Settings, Published, list[str]]]]:
    """Return all numbers, and what is unknown about each, by (notation, dataset, split)."""
    settled = [(settings, number, list[str]()) for settings, number in published_results().items()]
    assumed = [(s, number, [f"not published: {what}"]) for s, (number, what) in assumed_results().items()]
    carried: dict[tuple[str, str, str], list[tuple[Settings, Published, list[str]]]] = {}
    for settings, number, unknown in [*settled, *assumed]:
        place = (find_method(settings.settings).notation, settings.dataset, settings.split)
        carried.setdefault(place, []).append((settings, number, unknown))
    return carried


def _words(comparison: Comparison) -> tuple[str, str, str, str, str, str]:
    """Return method, encoders, weights, prompts, post-processing and proposals."""
    name, drawings, encoders, weights, proposals = comparison.result.description()
    processing = comparison.result.product.method.notation.partition(",")[2] or NOTHING
    return name, encoders, weights, drawings, processing, proposals


def _cells(comparison: Comparison) -> list[str]:
    name, encoders, _, drawings, processing, proposals = _words(comparison)
    interval, inside = comparison.interval, comparison.inside
    return [
        *(name, encoders, drawings, processing, proposals, " ".join(comparison.split)),
        comparison.published.source.partition(",")[0],
        "; ".join(comparison.differs) or "nothing",
        f"{comparison.published.accuracy:.1f}",
        mean_and_spread(comparison.accuracies),
        f"{comparison.difference:+.1f}",
        str(comparison.scored),
        f"{interval.low:.1f} to {interval.high:.1f}" if interval else NOTHING,
        NOTHING if inside is None else "inside" if inside else "outside",
    ]


def _csv_row(comparison: Comparison) -> list[object]:
    interval = comparison.interval or ("", "")
    return [
        *_words(comparison),
        *comparison.split,
        *comparison.published,
        mean(comparison.accuracies),
        len(comparison.accuracies),
        comparison.difference,
        comparison.scored,
        *interval,
        "" if comparison.inside is None else comparison.inside,
        "; ".join(comparison.differs),
    ]
