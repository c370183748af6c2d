"""What the executors have in common: a stream of items sent through stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa

from infra.execution.settings import Settings
from infra.execution.vitals import PASSING, Watch

Size = Literal["model", "light", "task"]


@dataclass(frozen=True)
class Stage:
    """One step of a stream.

    Attributes:
        operator: class whose instances turn a table into a table; it also gets a `reporter`.
        arguments: its other constructor arguments.
        size: `model` for stages that hold a model, `light` for others that keep state, `task` for the rest.
    """

    operator: Callable[..., Callable[[pa.Table], pa.Table]]
    arguments: dict[str, Any] = field(default_factory=dict)
    size: Size = "task"

    @property
    def name(self) -> str:
        """Return what Ray's dashboard and our lines call it."""
        return getattr(self.operator, "__name__", str(self.operator))


class Executor(Protocol):
    """Something that runs streams and adds up what its stages reported."""

    name: str
    settings: Settings
    counts: dict[str, int]
    watch: Watch | None  # of the stream that runs, or ran last

    @property
    def nodes(self) -> int:
        """Return how many machines will read and write files."""

    @property
    def loses_nodes(self) -> bool:
        """Say whether machines may go while others work on."""

    @property
    def nodes_lost(self) -> int:
        """Return how many machines went so far."""

    def where(self, stages: Sequence[Stage], items: int) -> str:
        """Say in a line where a stream of so many items runs: device, model actors now and at most, and why.

        Raises:
            InputError: if the device cannot be had.
        """

    def require_fit(self, streams: Sequence[Sequence[Stage]]) -> None:
        """Check that every stream can run, once what it needs has come.

        Raises:
            InputError: if one cannot.
        """

    def run(
        self, title: str, items: Sequence[dict[str, Any]], stages: Sequence[Stage], totals: Mapping[str, int]
    ) -> Iterator[dict[str, Any]]:
        """Send every item through the stages and yield the rows that come out, in any order.

        Args:
            title: for the progress display.
            items: one dict of scalars or bytes an item.
            stages: in order.
            totals: expected count by reported event.
        """


def add_counts(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Add two sets of counts of what was done."""
    return {n: first.get(n, 0) + second.get(n, 0) for n in [*first, *second] if n not in PASSING}
