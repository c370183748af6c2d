"""A folder with annotation files, on any file system, and what is read from it split by split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from operators.datasets.formats.annotations import AnnotatedRef


class Folder(Protocol):
    """A place with files. Operators know no file systems; whoever runs them brings one."""

    @property
    def url(self) -> str:
        """Its address."""

    def place(self, name: str) -> str:
        """Return the address of a file in it."""

    def read(self, name: str) -> bytes:
        """Return a whole file. Raises FileNotFoundError if there is none."""

    def names(self) -> set[str]:
        """Return the names of what is directly in it; empty if it does not exist."""

    def below(self, name: str) -> Folder:
        """Return a folder in it."""


class Found(NamedTuple):
    """The references of one split, and the file that they were read from."""

    refs: Sequence[AnnotatedRef]
    url: str


# Gives the references of a split, None if the folder has none; opened once for a dataset.
SplitReader = Callable[[str], Found | None]
# Opens a folder for the dataset of that name.
Layout = Callable[[Folder, str], SplitReader]
