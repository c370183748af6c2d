"""Tables as Markdown, LaTeX and CSV, in which no text can do anything but be read."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from statistics import mean, stdev

NOTHING = "–"
# Two private characters around what is bold; everywhere else `latex_text` drops them.
STRONG_IN_LATEX = "\ue000{}\ue001"
STRONG = re.compile("\ue000([^\ue000\ue001]*)\ue001")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    NOTHING: "--",
    **{mark: "\\" + mark for mark in "&%$#_{}"},
}


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
    """Escape text for LaTeX; control and direction characters, which stop pdfLaTeX, are left out.

    What `STRONG_IN_LATEX` marks becomes bold.
    """
    parts = STRONG.split(" ".join(text.split()))  # plain and bold take turns
    shown = [
        "".join(LATEX.get(c, c) for c in p if not unicodedata.category(c).startswith("C")) for p in parts
    ]
    return "".join(rf"\textbf{{{part}}}" if i % 2 else part for i, part in enumerate(shown))


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
