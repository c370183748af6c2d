"""Registries: things known by a name, each in a file of its own, ours or a plug-in's."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import partial
from importlib.metadata import entry_points
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Values by name. Looking one up first imports every module that may register some.

    Args:
        what: what a value is, for messages (`dataset`).
        home: package of ours whose modules register values when they are imported; may be empty.
        group: entry point group under which other packages advertise such modules.
    """

    def __init__(self, what: str, *, home: str = "", group: str) -> None:
        self.what = what
        self._values: dict[str, T] = {}
        self._home, self._group = home, group
        self._waiting: Iterator[Callable[[], object]] | None = None

    def add(self, name: str, value: T) -> T:
        """Make a value known.

        Raises:
            ValueError: if the name is taken.
        """
        if name in self._values:
            raise ValueError(f"there is a {self.what} {name!r} already; choose another name")
        self._values[name] = value
        return value

    def all(self) -> dict[str, T]:
        """Return every value by name, in order of registration."""
        self._load()
        return dict(self._values)

    def find(self, name: str) -> T:
        """Return a value.

        Raises:
            ValueError: if nothing has that name; the message lists the nearest names.
        """
        values = self.all()
        if name not in values:
            raise ValueError(f"unknown {self.what} {name!r}; nearest: {nearest(name, values)}")
        return values[name]

    def _load(self) -> None:
        """Import each module once, also if one that is being imported looks a name up."""
        if self._waiting is None:
            self._waiting = iter([*self._modules(), *(e.load for e in entry_points(group=self._group))])
        for load in self._waiting:
            load()

    def _modules(self) -> Iterator[Callable[[], object]]:
        if self._home:
            for module in pkgutil.iter_modules(importlib.import_module(self._home).__path__):
                name = f"{self._home}.{module.name}"
                yield partial(importlib.import_module, name)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known names most like one that is unknown, or all of them, for a message."""
    known = list(known)
    return ", ".join(get_close_matches(name, known, n=3, cutoff=0.4) or known) or "none"
