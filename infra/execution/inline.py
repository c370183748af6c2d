"""Runs stages in this process, without Ray: for tests, notebooks, small machines and debugging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from infra.errors import InputError
from infra.execution.progress import Counts, Display
from infra.execution.settings import Settings
from infra.execution.stage import Stage, add_counts
from infra.execution.vitals import Watch


@dataclass
class InlineExecutor:
    """Executes streams one item after the other."""

    settings: Settings
    counts: dict[str, int] = field(default_factory=dict)
    name: str = "inline"
    watch: Watch | None = None

    def __post_init__(self) -> None:
        """Decide on the device. Raises InputError if it is not there."""
        if self.settings.device != "cpu":
            self.settings = replace(self.settings, device=find_device(self.settings.device))

    @property
    def nodes(self) -> int:
        """Return 1: everything happens in this process."""
        return 1

    @property
    def loses_nodes(self) -> bool:
        """Return False: with its machine the process goes too."""
        return False

    @property
    def nodes_lost(self) -> int:
        """Return 0."""
        return 0

    def where(self, stages: Sequence[Stage], items: int) -> str:
        """Say that everything happens here."""
        return f"{self.settings.device}, in this process, one stage after the other"

    def require_fit(self, streams: Sequence[Sequence[Stage]]) -> None:
        """Accept everything: stages take turns."""

    def run(
        self, title: str, items: Sequence[dict[str, Any]], stages: Sequence[Stage], totals: Mapping[str, int]
    ) -> Iterator[dict[str, Any]]:
        """Send every item through the stages and yield the rows that come out, in order."""
        reporter = Counts()
        operators = [stage.operator(**stage.arguments, reporter=reporter) for stage in stages]
        self.watch = Watch(title, totals, reporter.snapshot)
        with Display(self.watch):
            for item in items:
                table = pa.Table.from_pylist([item])
                for operator in operators:
                    table = operator(table)
                yield from table.to_pylist()
        self.counts = add_counts(self.counts, reporter.snapshot())


def find_device(wanted: str) -> str:
    """Return the torch device for `auto`, `cpu` or `cuda`.

    Raises:
        InputError: for `cuda` where there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here; use cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
