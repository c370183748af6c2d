"""Progress that a person can trust: a bar on a terminal, a plain line every 30 s otherwise."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from infra.execution.vitals import Watch

LINE_EVERY_S = 30.0
POLL_EVERY_S = 0.5


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
    """Shows a stream while its block runs.

    Args:
        watch: what measures the stream.
        line_every_s: interval of plain lines where there is no terminal.
        gpu_hour_usd: price of a GPU hour, for the cost so far.
    """

    def __init__(
        self, watch: Watch, line_every_s: float = LINE_EVERY_S, gpu_hour_usd: float | None = None
    ) -> None:
        self._watch, self._gpu_hour_usd = watch, gpu_hour_usd
        self._line_every_s = line_every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Display:
        if self._watch.totals:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._watch.totals:
            self._thread.join()
            print(self.line(), flush=True)

    def line(self) -> str:
        """Return the state as one line."""
        return self._watch.look().line(self._gpu_hour_usd)

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
            totals = self._watch.totals.items()
            tasks = {event: bars.add_task(event, total=total) for event, total in totals}
            while not self._stop.wait(POLL_EVERY_S):
                counts = self._watch.snapshot()
                for event, task in tasks.items():
                    bars.update(task, completed=counts.get(event, 0))
