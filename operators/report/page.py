"""The report as one HTML file: sections made of a few kinds of blocks, and the page around them.

The page runs no script, loads nothing, and says so in a policy that browsers enforce; all text is escaped by
the template engine. A new section is a `Section` with the blocks it needs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar

from jinja2 import Environment, StrictUndefined

MAX_TEXT_CHARS = 300


@dataclass(frozen=True)
class Value:
    """A cell with a second line in small letters; `strong` where it is clearly the best of its column."""

    text: str
    detail: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Lines:
    """A cell of several lines."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table whose first `words` columns are text and whose others are numbers.

    Attributes:
        groups: names of neighbouring columns and how many they head, over all columns; may be empty.
        sticky: the first column stays in sight while the others are scrolled.
    """

    kind: ClassVar[str] = "table"
    headers: Sequence[str]
    rows: Sequence[Sequence[str | Value | Lines]]
    words: int
    caption: str = ""
    groups: Sequence[tuple[str, int]] = ()
    sticky: bool = False


@dataclass(frozen=True)
class Picture:
    """An embedded picture; `alt` says what it shows."""

    kind: ClassVar[str] = "picture"
    uri: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Candidate:
    """A line below an example: number of the box, score, probability, and what it is (target, choice)."""

    number: str
    score: str
    probability: float
    target: bool
    chosen: bool


@dataclass(frozen=True)
class Card:
    """An example: a picture with boxes, the expression and its candidates by probability."""

    picture: Picture
    text: str
    place: str
    right: bool
    candidates: Sequence[Candidate]
    more: int = 0


@dataclass(frozen=True)
class Gallery:
    """Examples side by side below a heading."""

    kind: ClassVar[str] = "gallery"
    heading: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Strips:
    """Rows of pictures with a name each, below a heading.

    Attributes:
        columns: what each picture of a row shows, such as the number of a region.
        legend: columns with what is said about them.
    """

    kind: ClassVar[str] = "strips"
    heading: str
    rows: Sequence[tuple[str, str, Picture]]
    columns: Sequence[str] = ()
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """Long plain text, folded away."""

    kind: ClassVar[str] = "listing"
    heading: str
    text: str


Block = Table | Picture | Gallery | Strips | Facts | Listing


@dataclass(frozen=True)
class Section:
    """A titled part of the page; `note` explains how to read it."""

    title: str
    blocks: Sequence[Block]
    note: str = ""

    @property
    def anchor(self) -> str:
        """Return the name that the page's own navigation points to."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def shortened(text: str) -> str:
    """Return text cut to `MAX_TEXT_CHARS` characters, saying how long it was."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    return f"{text[:MAX_TEXT_CHARS]}… ({len(text)} characters)"


def render(
    title: str, summary: Sequence[tuple[str, str]], warning: str, sections: Sequence[Section]
) -> bytes:
    """Write the page.

    Args:
        title: of the page.
        summary: names and values at the top.
        warning: what a reader must know before believing a number; may be empty.
        sections: in their order; those without blocks are left out.

    Returns:
        UTF-8 HTML, the same bytes for the same arguments.
    """
    home = files("operators.report")
    style = home.joinpath("report.css").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.from_string(home.joinpath("report.html.j2").read_text(encoding="utf-8"))
    page = template.render(
        title=title,
        summary=summary,
        warning=warning,
        sections=[section for section in sections if section.blocks],
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return page.encode("utf-8", errors="replace")
