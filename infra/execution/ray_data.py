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
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from infra.execution.ceiling import choose_device
from infra.execution.cluster import (
    ceiling_of,
    cluster_state,
    connect,
    fitting_pools,
    live_capacity,
    node_count,
)
from infra.execution.pools import Pool, size_pools
from infra.execution.progress import Counts, Display
from infra.execution.ray_environment import belongs_to_a_cluster
from infra.execution.settings import Settings
from infra.execution.stage import Stage, add_counts
from infra.execution.vitals import Watch

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
    """Executes streams on the cluster it joins, or on one of our own, started when the first stream runs."""

    settings: Settings
    counts: dict[str, int] = field(default_factory=dict)
    name: str = "ray"
    watch: Watch | None = None

    def __post_init__(self) -> None:
        """Join a cluster that is there, and decide on the device by what it has or may grow to."""
        if belongs_to_a_cluster():
            connect()
        self._asked = self.settings.device
        self.settings = replace(self.settings, device=choose_device(self.settings, ceiling_of(self.settings)))

    @property
    def nodes(self) -> int:
        """Return how many machines will read and write files."""
        return node_count() if ray.is_initialized() else 1

    @property
    def loses_nodes(self) -> bool:
        """Say whether the cluster is one that others started, of several nodes perhaps."""
        return belongs_to_a_cluster()

    @property
    def nodes_lost(self) -> int:
        """Return how many nodes died or left so far."""
        return sum(not node["Alive"] for node in ray.nodes()) if ray.is_initialized() else 0

    def where(self, stages: Sequence[Stage], items: int) -> str:
        """Say in a line where a stream of so many items runs."""
        ceiling, live = ceiling_of(self.settings), live_capacity()
        most = max(pool.most_actors for pool in size_pools(stages, self.settings, ceiling.capacity, items))
        now = max(pool.most_actors for pool in size_pools(stages, self.settings, live, items))
        if self.settings.device != "cpu" and not live.gpus:
            now = 0
        asked = "auto, " if self._asked == "auto" else ""
        cluster = f"{self.nodes} nodes" if ray.is_initialized() else "this machine"
        by = "--actors" if self.settings.actors else ceiling.source
        return (
            f"{self.settings.device} ({asked}{live} alive on {cluster}); model actors of a stage: "
            f"{min(now, most)} now, {most} at most, by {by}"
        )

    def require_fit(self, streams: Sequence[Sequence[Stage]]) -> None:
        """Check that the pools of every stream fit the cluster, waiting for nodes if need be.

        Raises:
            InputError: with the arithmetic, if they do not.
        """
        connect()
        for stages in streams:
            fitting_pools(stages, self.settings)

    def run(
        self, title: str, items: Sequence[dict[str, Any]], stages: Sequence[Stage], totals: Mapping[str, int]
    ) -> Iterator[dict[str, Any]]:
        """Send every item through the stages and yield the rows that come out, in any order."""
        connect()
        _configure()
        reporter = ActorReporter(_counting_actor())
        dataset = ray.data.from_items(list(items), override_num_blocks=len(items))
        pools = fitting_pools(stages, self.settings, len(items))
        for stage, pool in zip(stages, pools, strict=True):
            dataset = _add(dataset, stage, pool, reporter)
        spent = self.watch.look().gpu_hours if self.watch else 0.0
        self.watch = Watch(title, totals, reporter.snapshot, cluster_state, spent)
        with Display(self.watch, gpu_hour_usd=self.settings.gpu_hour_usd):
            for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from table.to_pylist()
            self.counts = add_counts(self.counts, reporter.snapshot())


def _counting_actor() -> Any:
    """Start the actor that counts, beside the driver: on a spot node the counts would go with it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Counts).remote()


def _add(dataset: Any, stage: Stage, pool: Pool, reporter: ActorReporter) -> Any:
    arguments = {**stage.arguments, "reporter": reporter}
    settings: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": pool.num_cpus}
    if pool.most_actors == 0:
        task = _as_task(stage.operator, arguments)
        return dataset.map_batches(task, max_retries=MAX_TASK_RETRIES, **settings)
    # The public method refuses a GPU without a batch size, and a batch size would join and cut shards.
    return dataset.map_batches_internal(
        stage.operator,
        fn_constructor_kwargs=arguments,
        compute=ray.data.ActorPoolStrategy(
            min_size=pool.least_actors, initial_size=pool.most_actors, max_size=pool.most_actors
        ),
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
