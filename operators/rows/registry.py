"""Registries: things known by a name, each in a file of its own, ours or a plug-in's."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

T = TypeVar("T")
LOG = logging.getLogger("visual_prompt_bench")


class PlugIns:
    """Modules that other packages advertise under an entry point group; each is loaded once.

    A faulty one is left out with a warning, and is named wherever something is asked for that it may have
    brought; it takes nothing else down.
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._waiting: Iterator[EntryPoint] | None = None
        self._left_out: list[str] = []

    def load(self) -> None:
        """Load what was not loaded yet, also if a module that is being loaded asks for this."""
        if self._waiting is None:
            self._waiting = iter(entry_points(group=self._group))
        for entry_point in self._waiting:
            try:
                entry_point.load()
            except Exception as problem:  # somebody else's code may fail in any way
                distribution = entry_point.dist
                package = f" of {distribution.name} {distribution.version}" if distribution else ""
                told = f"plug-in {entry_point.name!r}{package} ({entry_point.value}): {problem!r}"
                self._left_out.append(told)
                LOG.warning("left out: %s", told)

    def told(self) -> str:
        """Return what was left out, to be added to the message about something that is not known."""
        return "".join(f"; left out: {told}" for told in self._left_out)


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
        self._home = home
        self.plug_ins = PlugIns(group)
        self._waiting: Iterator[str] | None = None

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
            told = f"unknown {self.what} {name!r}; nearest: {nearest(name, values)}"
            raise ValueError(told + self.plug_ins.told())
        return values[name]

    def _load(self) -> None:
        """Import each module once, also if one that is being imported looks a name up."""
        if self._waiting is None:
            home = importlib.import_module(self._home).__path__ if self._home else []
            self._waiting = iter([module.name for module in pkgutil.iter_modules(home)])
        for name in self._waiting:
            importlib.import_module(f"{self._home}.{name}")
        self.plug_ins.load()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known names most like one that is unknown, or all of them, for a message."""
    known = list(known)
    return ", ".join(get_close_matches(name, known, n=3, cutoff=0.4) or known) or "none"
