"""FALIP's ablation tables (4, 5, 6, 10, 11, 12) with our accuracies beside the published ones.

Rows, settings and published numbers are in `falip_tables.csv` beside this module (falip spec section 7; FALIP
prints them for gold boxes and ViT-B/16, the former inferred from rows that equal Table 1). Where the paper
leaves a choice open the row's note says which was made, and other readings are rows of their own beside the
same published numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from statistics import mean

from operators.methods.models import Encoder, encoders_label
from operators.tables.ablation import mean_accuracy
from operators.tables.accuracy import Result
from operators.tables.comparable import differences
from operators.tables.formats import NOTHING, latex, latex_text, markdown, mean_and_spread, spreadsheet
from operators.tables.metrics import SplitCount
from operators.tables.published import Settings

PUBLISHED_ENCODER, PUBLISHED_PROPOSALS = "ViT-B-16", "gold"
TITLES = {
    4: "unleash",
    5: "alternatives to the foveal mask",
    6: "forms of the mask",
    10: "alpha",
    11: "sigma",
    12: "masked blocks, counted from 1",
}
NOTE = (
    "The mean is that of the splits that were scored, the published one that of all eight. Ours differ from "
    "the published numbers in: {differs}."
)
CSV_COLUMNS = (
    *("table", "row", "method", "encoders", "proposals", "dataset", "split"),
    *("accuracy_percent", "published_percent", "differs_in", "note"),
)


@dataclass(frozen=True)
class Row:
    """A row of one of the tables.

    Attributes:
        table: its number in the paper.
        label: what the row is about.
        method: ours, in canonical notation or by the name of its catalogue entry.
        published_percent: by (dataset, split).
        published_mean: as printed.
        note: what the paper leaves open, and what was chosen.
    """

    table: int
    label: str
    method: str
    published_percent: dict[tuple[str, str], float]
    published_mean: float
    note: str


@cache
def falip_rows() -> tuple[Row, ...]:
    """Return all rows in the order of the paper."""
    text = files("operators.tables").joinpath("falip.csv").read_text(encoding="utf-8")
    rows = []
    for cells in csv.DictReader(text.splitlines()):
        numbers = {name: float(value) for name, value in cells.items() if " " in name}
        splits = {(name.split()[0], name.split()[1]): value for name, value in numbers.items()}
        words = cells["row"], cells["method"]
        rows.append(Row(int(cells["table"]), *words, splits, float(cells["average"]), cells["note"]))
    return tuple(rows)


def falip_methods() -> tuple[str, ...]:
    """Return every distinct method of the tables once."""
    return tuple(dict.fromkeys(row.method for row in falip_rows()))


def falip_tables(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Write all tables as `md`, `tex` and `csv`, once for every ensemble and proposal source."""
    lines = dict.fromkeys((r.product.encoders, r.product.proposals) for r in results if r.product.encoders)
    tables = [_Tables(results, splits, encoders, proposals) for encoders, proposals in lines]
    rows = [row for table in tables for row in table.spreadsheet_rows()]
    return {
        "md": "\n".join(table.text() for table in tables),
        "tex": "".join(table.latex() for table in tables),
        "csv": spreadsheet(CSV_COLUMNS, rows),
    }


class _Tables:
    """All tables of one ensemble and proposal source."""

    def __init__(
        self,
        results: Sequence[Result],
        splits: Sequence[tuple[str, str]],
        encoders: tuple[Encoder, ...],
        proposals: str,
    ) -> None:
        self.splits = splits
        self.encoders, self.proposals = encoders_label(encoders), proposals
        self.results = {
            result.product.method.name: result
            for result in results
            if result.product.proposals == proposals and result.product.encoders in (encoders, ())
        }

    def text(self) -> str:
        """Return a section with every table, and the notes."""
        compared = product(falip_rows(), self.splits)
        said = dict.fromkeys(text for row, split in compared for text in self.differs(row, split))
        parts = [f"## FALIP's ablations: {self.encoders}, {self.proposals} boxes\n"]
        parts.append(NOTE.format(differs="; ".join(said) or "nothing") + "\n")
        for number, title in TITLES.items():
            rows = [row for row in falip_rows() if row.table == number]
            parts.append(f"### Table {number}: {title}\n")
            parts.append(markdown(self.headers(), [self.cells(row) for row in rows]))
            notes = dict.fromkeys(f"- {row.label}: {row.note}." for row in rows if row.note)
            parts += ["\n".join(notes) + "\n"] if notes else []
        return "\n".join(parts)

    def latex(self) -> str:
        """Return every table as a LaTeX tabular for the package booktabs, a comment above each."""
        parts = []
        for number, title in TITLES.items():
            rows = [self.cells(row) for row in falip_rows() if row.table == number]
            parts.append(
                f"% {latex_text(f'Table {number}: {title}; {self.encoders}, {self.proposals} boxes')}\n"
            )
            parts.append(latex(self.headers(), rows, "ll" + "r" * (len(self.headers()) - 2)))
        return "".join(parts)

    def headers(self) -> list[str]:
        """Return the headers of every table."""
        by_split = [name for split in self.splits for name in (" ".join(split), "published")]
        return ["Row", "Method", *by_split, "mean", "published"]

    def cells(self, row: Row) -> list[str]:
        """Return one line of a Markdown table."""
        cells = [row.label, row.method]
        for split in self.splits:
            cells += [mean_and_spread(self.percent(row, split)), _number(row.published_percent.get(split))]
        ours = mean_accuracy(self.results[row.method], self.splits) if row.method in self.results else None
        return [*cells, _number(ours), _number(row.published_mean)]

    def spreadsheet_rows(self) -> list[list[object]]:
        """Return one row a table row and split."""
        rows: list[list[object]] = []
        for row in falip_rows():
            for split in self.splits:
                found, published = self.percent(row, split), row.published_percent.get(split, "")
                words = [row.table, row.label, row.method, self.encoders, self.proposals, *split]
                differs = "; ".join(self.differs(row, split))
                rows.append([*words, mean(found) if found else "", published, differs, row.note])
        return rows

    def percent(self, row: Row, split: tuple[str, str]) -> list[float]:
        """Return our accuracies by seed."""
        return self.results[row.method].accuracies(split) if row.method in self.results else []

    def differs(self, row: Row, split: tuple[str, str]) -> list[str]:
        """Say in what ours is not what was published."""
        if row.method not in self.results:
            return []
        result = self.results[row.method]
        encoders = PUBLISHED_ENCODER if result.product.encoders else encoders_label(())
        settings = Settings(row.method, encoders, PUBLISHED_PROPOSALS, *split)
        return differences(result.product, settings, result.counts[0].get(split, SplitCount()).total)


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
