"""Datasets by name: a card that says what one is and where it comes from, and readers of its file layouts.

To add one, put a file into `readers/` (or into a package of your own that is advertised under the entry point
group `visual_prompt_bench.datasets`) that calls `register` with a `Dataset`. `--help`, the documentation and
the comparison with published sizes are made from the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from operators.datasets.formats.folder import Layout
from operators.rows.registry import Registry


class SplitSize(NamedTuple):
    """How many images, references (objects) and expressions (sentences) a split has."""

    images: int
    refs: int
    expressions: int


class DataFile(NamedTuple):
    """A file that the dataset consists of.

    Attributes:
        name: as it is called where it comes from.
        holds: what is in it.
        sha256: of the published file, where it is known; empty otherwise.
    """

    name: str
    holds: str
    sha256: str = ""


@dataclass(frozen=True)
class Dataset:
    """The card of a dataset, and how its files are read.

    Attributes:
        name: as flags take it and tables print it.
        title: as people write it.
        paper: who describes it.
        licence: of the annotations, as far as their publisher says.
        origin: where the files come from today.
        images: which pictures it is about.
        files: what it consists of.
        splits: published sizes, in the published order; empty where nobody published any.
        layouts: ways to read it by name, the preferred first (`--refer FOLDER`, or `--source refer=FOLDER`).
    """

    name: str
    title: str
    paper: str
    licence: str
    origin: str
    images: str
    files: tuple[DataFile, ...] = ()
    splits: Mapping[str, SplitSize] = field(default_factory=lambda: MappingProxyType({}))
    layouts: Mapping[str, Layout] = field(default_factory=lambda: MappingProxyType({}))

    def card(self) -> str:
        """Return the card as text, one fact a line."""
        sizes = ", ".join(f"{split} {'/'.join(map(str, size))}" for split, size in self.splits.items())
        lines = [
            f"{self.name}: {self.title}; {self.paper}",
            f"  splits (images/references/expressions): {sizes or 'no published sizes'}",
            f"  images: {self.images}",
            f"  licence: {self.licence}",
            f"  from: {self.origin}",
            f"  layouts: {', '.join(self.layouts) or 'none'}",
        ]
        for file in self.files:
            known = f"SHA-256 {file.sha256}" if file.sha256 else "hash not published"
            lines.append(f"  {file.name}: {file.holds} ({known})")
        return "\n".join(lines)


DATASETS: Registry[Dataset] = Registry(
    "dataset", home="operators.datasets.readers", group="visual_prompt_bench.datasets"
)


def register(dataset: Dataset) -> Dataset:
    """Make a dataset known. Raises ValueError if its name is taken."""
    return DATASETS.add(dataset.name, dataset)


def published_size(dataset: str, split: str) -> SplitSize | None:
    """Return the published size of a split, None if nobody published one."""
    known = DATASETS.all().get(dataset)
    return known.splits.get(split) if known else None
