"""Connecting to Ray, what the cluster has or can grow to, and waiting for it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources

from infra.errors import InputError
from infra.execution.pools import Capacity, Pool, explain, needed, size_pools
from infra.execution.ray_environment import belongs_to_a_cluster
from infra.execution.settings import Settings
from infra.execution.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
WAIT_WITH_AUTOSCALER_S = 900.0
POLL_EVERY_S = 1.0
LINE_EVERY_S = 30.0


def connect(dashboard: bool = False) -> None:
    """Connect to the cluster of this job or of RAY_ADDRESS (`auto`: this machine's), or start one.

    Args:
        dashboard: start it with a cluster of our own; Ray Train asks it for the state of its actors.
    """
    if ray.is_initialized():
        return
    if belongs_to_a_cluster():
        # Nothing but the address: a job's runtime environment cannot be merged with another (measured).
        ray.init(logging_level=logging.WARNING)
        return
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ray.init(
        # Without this Ray joins whatever cluster was last started on the machine.
        address="local",
        include_dashboard=dashboard,
        logging_level=logging.WARNING,
        log_to_driver=True,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}},
    )


def node_count() -> int:
    """Return how many nodes are alive."""
    return sum(node["Alive"] for node in ray.nodes())


def live_capacity() -> Capacity:
    """Return what the cluster has now."""
    return _capacity(ray.cluster_resources())


def largest_capacity() -> Capacity | None:
    """Return what the autoscaler may grow the cluster to; None without an autoscaler."""
    most = ray._private.state.state.get_max_resources_from_cluster_config()
    return _capacity(most) if most else None


def fitting_pools(stages: Sequence[Stage], settings: Settings, wait_s: float | None) -> list[Pool]:
    """Return the pools of a stream once the cluster can hold them.

    Args:
        stages: in order.
        settings: device, threads, actors.
        wait_s: how long to wait for nodes to join; None for 0 s, or 900 s with an autoscaler.

    Raises:
        InputError: with the arithmetic, if they can never fit or did not within the time.
    """
    largest = largest_capacity()
    pools = size_pools(stages, settings, live_capacity(), largest or live_capacity())
    need = needed(pools)
    if largest and not largest.holds(need):
        raise InputError(f"{explain(stages, pools, largest)} even when fully grown; {_advice()}")
    deadline_s = time.monotonic() + (wait_s if wait_s is not None else WAIT_WITH_AUTOSCALER_S * bool(largest))
    said_s = float("-inf")
    while not live_capacity().holds(need):
        if time.monotonic() >= deadline_s:
            raise InputError(f"{explain(stages, pools, live_capacity())}; {_advice()}")
        if time.monotonic() - said_s >= LINE_EVERY_S:
            print(f"waiting for nodes: {explain(stages, pools, live_capacity())}", flush=True)
            said_s = time.monotonic()
        if largest:
            _ask_for(pools)
        time.sleep(POLL_EVERY_S)
    return pools


def _ask_for(pools: Sequence[Pool]) -> None:
    bundles: list[dict[str, Any]] = []
    for pool in pools:
        bundle = {"CPU": pool.num_cpus} | ({"GPU": pool.num_gpus} if pool.num_gpus else {})
        bundles += [bundle] * max(pool.least_actors, 1)
    request_resources(bundles=bundles)


def _capacity(resources: dict[str, Any]) -> Capacity:
    return Capacity(float(resources.get("CPU", 0)), float(resources.get("GPU", 0)))


def _advice() -> str:
    return "use fewer --actors, another --device, a larger cluster, or --wait-for-resources-s"
