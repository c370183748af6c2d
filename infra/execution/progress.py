"""Progress that a person can trust: a bar on a terminal, a plain line every 30 s otherwise."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LINE_EVERY_S = 30.0
POLL_EVERY_S = 0.5
# Added to an event: how many of its count were done by an earlier, interrupted run.
BEFORE = " before"


class Reporter(Protocol):
    """Where operators report to: called per image or batch, flushed at the end of a shard."""

    def __call__(self, event: str, count: int) -> None:
        """Note that `count` more of `event` are done."""

    def flush(self) -> None:
        """Return when everything reported so far has arrived."""


class Counts:
    """Counts of events in this process; also the body of the counting actor."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, event: str, count: int) -> None:
        """Add to an event."""
        with self._lock:
            self._counts[event] += count

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to several events."""
        for event, count in counts.items():
            self(event, count)

    def snapshot(self) -> dict[str, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)

    def flush(self) -> None:
        """Do nothing: counts arrive at once."""


class Display:
    """Shows counts against their totals while its block runs.

    Args:
        title: what is being done.
        totals: expected count by event.
        snapshot: returns the counts so far.
        line_every_s: interval of plain lines where there is no terminal.
    """

    def __init__(
        self,
        title: str,
        totals: Mapping[str, int],
        snapshot: Callable[[], Mapping[str, int]],
        line_every_s: float = LINE_EVERY_S,
    ) -> None:
        self._title = title
        self._totals = {event: total for event, total in totals.items() if total}
        self._snapshot = snapshot
        self._line_every_s = line_every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._started_s = time.monotonic()

    def __enter__(self) -> Display:
        if self._totals:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._totals:
            self._thread.join()
            print(self.line(), flush=True)

    def line(self) -> str:
        """Return the state as one line: done/total of each event, elapsed and remaining time."""
        counts = self._snapshot()
        elapsed_s = time.monotonic() - self._started_s
        parts = [f"{event} {counts.get(event, 0)}/{total}" for event, total in self._totals.items()]
        share = min(self._share(counts, event) for event in self._totals)
        left = f"about {elapsed_s * (1 - share) / share:.0f} s left" if 0 < share < 1 else ""
        return f"{self._title}: {', '.join(parts)}, {elapsed_s:.0f} s {left}".rstrip()

    def _share(self, counts: Mapping[str, int], event: str) -> float:
        """Return the share of the work since the start that is done; what was done before tells no pace."""
        before = counts.get(event + BEFORE, 0)
        return min((counts.get(event, 0) - before) / max(self._totals[event] - before, 1), 1.0)

    def _show(self) -> None:
        if sys.stderr.isatty():
            self._show_bars()
        else:
            while not self._stop.wait(self._line_every_s):
                print(self.line(), flush=True)

    def _show_bars(self) -> None:
        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        from rich.console import Console

        with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
            tasks = {event: bars.add_task(event, total=total) for event, total in self._totals.items()}
            while not self._stop.wait(POLL_EVERY_S):
                counts = self._snapshot()
                for event, task in tasks.items():
                    bars.update(task, completed=counts.get(event, 0))
