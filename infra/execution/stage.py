"""What the executors have in common: a stream of items sent through stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa

from infra.execution.settings import Settings

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


class Executor(Protocol):
    """Something that runs streams and adds up what its stages reported."""

    name: str
    settings: Settings
    counts: dict[str, int]

    @property
    def nodes(self) -> int:
        """Return how many machines will read and write files."""

    def require_fit(self, streams: Sequence[Sequence[Stage]]) -> None:
        """Check that every stream can run.

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
    """Add two sets of counts."""
    return {name: first.get(name, 0) + second.get(name, 0) for name in [*first, *second]}
