"""Runs stages as one Ray Data stream: the only module that builds a Ray Dataset.

One item is one block and one batch, so a shard is never cut or merged on its way (measured: Ray's own Parquet
reader re-cuts blocks and its checkpoint loses rows). Retries are bounded; an item that fails for good is left
out of what comes back, which the recount from the files then finds.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import ray
import ray.data

from infra.execution.cluster import connect, fitting_pools, largest_capacity, live_capacity, node_count
from infra.execution.pools import Pool
from infra.execution.progress import Counts, Display
from infra.execution.settings import Settings
from infra.execution.stage import Stage, add_counts

MAX_RESTARTS = 4
MAX_TASK_RETRIES = 2


class ActorReporter:
    """Sends counts from a stage's process to the counting actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __call__(self, event: str, count: int) -> None:
        """Send a count without waiting."""
        self._actor.add.remote({event: count})

    def flush(self) -> None:
        """Wait until everything sent so far was counted: calls of one caller arrive in order.

        Counts are for people; a lost counter must not stop the work.
        """
        with suppress(ray.exceptions.RayActorError):
            ray.get(self._actor.add.remote({}))

    def snapshot(self) -> dict[str, int]:
        """Return the counts so far; empty if the counter is lost."""
        with suppress(ray.exceptions.RayActorError):
            return ray.get(self._actor.snapshot.remote())
        return {}


@dataclass
class RayExecutor:
    """Executes streams on the cluster it connects to."""

    settings: Settings
    counts: dict[str, int] = field(default_factory=dict)
    name: str = "ray"

    def __post_init__(self) -> None:
        """Connect, and decide on the device by what the cluster has or can grow to."""
        connect()
        if self.settings.device == "auto":
            has_gpu = (largest_capacity() or live_capacity()).gpus > 0
            self.settings = replace(self.settings, device="cuda" if has_gpu else "cpu")

    @property
    def nodes(self) -> int:
        """Return how many machines will read and write files."""
        return node_count()

    def require_fit(self, streams: Sequence[Sequence[Stage]]) -> None:
        """Check that the pools of every stream fit the cluster, waiting for nodes if need be.

        Raises:
            InputError: with the arithmetic, if they do not.
        """
        for stages in streams:
            fitting_pools(stages, self.settings, self.settings.wait_for_resources_s)

    def run(
        self, title: str, items: Sequence[dict[str, Any]], stages: Sequence[Stage], totals: Mapping[str, int]
    ) -> Iterator[dict[str, Any]]:
        """Send every item through the stages and yield the rows that come out, in any order."""
        _configure()
        reporter = ActorReporter(ray.remote(num_cpus=0)(Counts).remote())
        dataset = ray.data.from_items(list(items), override_num_blocks=len(items))
        pools = fitting_pools(stages, self.settings, self.settings.wait_for_resources_s)
        for stage, pool in zip(stages, pools, strict=True):
            dataset = _add(dataset, stage, pool, reporter)
        with Display(title, totals, reporter.snapshot):
            for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from table.to_pylist()
            self.counts = add_counts(self.counts, reporter.snapshot())


def _add(dataset: Any, stage: Stage, pool: Pool, reporter: ActorReporter) -> Any:
    arguments = {**stage.arguments, "reporter": reporter}
    settings: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": pool.num_cpus}
    if pool.most_actors == 0:
        task = _as_task(stage.operator, arguments)
        return dataset.map_batches(task, max_retries=MAX_TASK_RETRIES, **settings)
    return dataset.map_batches(
        stage.operator,
        fn_constructor_kwargs=arguments,
        compute=ray.data.ActorPoolStrategy(min_size=pool.least_actors, max_size=pool.most_actors),
        num_gpus=pool.num_gpus or None,
        max_restarts=MAX_RESTARTS,
        max_task_retries=MAX_TASK_RETRIES,
        **settings,
    )


def _as_task(operator: Callable[..., Any], arguments: dict[str, Any]) -> Callable[[pa.Table], pa.Table]:
    """Make a function of a class, under its name: Ray runs functions as tasks and classes as actors."""

    def run(table: pa.Table) -> pa.Table:
        return operator(**arguments)(table)

    run.__name__ = run.__qualname__ = getattr(operator, "__name__", "run")
    return run


def _configure() -> None:
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = None
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Bounded restarts have no named parameter yet; the version range in pyproject.toml follows from this.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
    warnings.filterwarnings("ignore", message=".*minimum number of concurrent actors.*")
