"""Connecting to Ray, what the cluster has and may grow to, asking for it and waiting for it."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import GlobalState, state
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental.internal_kv import _internal_kv_get

from infra.errors import InputError
from infra.execution.ceiling import Ceiling, find_ceiling
from infra.execution.pools import Capacity, Pool, explain, needed, size_pools
from infra.execution.ray_environment import belongs_to_a_cluster
from infra.execution.settings import Settings
from infra.execution.stage import Stage
from infra.execution.vitals import ClusterState

ROOT = Path(__file__).resolve().parents[2]
WAIT_WITH_AUTOSCALER_S = 900.0
POLL_EVERY_S = 1.0
LINE_EVERY_S = 30.0
ONLY_REPORTED = re.compile(r"node_[0-9a-f]{56}")
# What Ray Data calls the actors of a stage.
WORKER = re.compile(r"MapWorker\((?:\w*MapBatches\()?(\w+)\)*")


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
    """Return what the cluster has now; before a cluster of our own is started, what this machine has."""
    if ray.is_initialized():
        return _capacity(ray.cluster_resources())
    from ray._private.accelerators import get_accelerator_manager_for_resource
    from ray._private.utils import get_num_cpus

    manager = get_accelerator_manager_for_resource("GPU")
    return Capacity(get_num_cpus(), manager.get_current_node_num_accelerators() if manager else 0)


def cluster_state() -> ClusterState:
    """Return nodes, GPUs, and the live actors of our stages by the stages' names."""
    return _state(state)


def state_of_cluster(address: str) -> ClusterState:
    """Return the same of a cluster that this process does not join.

    Raises:
        InputError: if no head answers at the address (`HOST:PORT`).
    """
    asked = GlobalState()
    asked._initialize_global_state(ray._raylet.GcsClientOptions.create(address, None, True, True))
    try:
        return _state(asked)
    except Exception as problem:
        raise InputError(f"--address {address}: no head of a cluster answers there ({problem})") from problem
    finally:
        asked.disconnect()


def _state(source: GlobalState) -> ClusterState:
    nodes = [node for node in source.node_table() if node["Alive"]]
    alive = [actor for actor in source.actor_table(None).values() if actor["State"] == "ALIVE"]
    found = [WORKER.fullmatch(actor["ActorClassName"]) for actor in alive]
    gpus = sum(node["Resources"].get("GPU", 0.0) for node in nodes)
    return ClusterState(len(nodes), gpus, dict(Counter(name[1] for name in found if name)))


def autoscaler_runs() -> bool:
    """Say whether something may add nodes to the cluster.

    A head that was started without an autoscaler still runs one that only reports: its node types are called
    after the nodes.
    """
    if not ray.is_initialized():
        return False
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    kinds = status.get("autoscaler_report", {}).get("active_nodes", {})
    return is_autoscaler_v2() or any(not ONLY_REPORTED.fullmatch(kind) for kind in kinds)


def ceiling_of(settings: Settings) -> Ceiling:
    """Return what the cluster may grow to. Raises InputError as `find_ceiling`."""
    return find_ceiling(settings, live_capacity(), autoscaler_runs())


def fitting_pools(stages: Sequence[Stage], settings: Settings, items: int | None = None) -> list[Pool]:
    """Return the pools of a stream once the cluster can hold them; what is missing is asked for.

    Args:
        stages: in order.
        settings: device, threads, actors, and how long to wait.
        items: how many pass through the stream, if that is known.

    Raises:
        InputError: with the arithmetic, if they can never fit or did not within the time.
    """
    ceiling = ceiling_of(settings)
    pools = size_pools(stages, settings, ceiling.capacity, items)
    if live_capacity().holds(needed(pools)):
        return pools
    if ceiling.grows and ceiling.capacity.gpus < needed(pools).gpus:
        grown = explain(stages, pools, ceiling.capacity)
        raise InputError(f"{grown} even when fully grown ({ceiling.source}); {_advice()}")
    wait_s = settings.wait_for_resources_s
    with _asking_for(pools):
        _wait(stages, pools, WAIT_WITH_AUTOSCALER_S * ceiling.grows if wait_s is None else wait_s)
    return size_pools(stages, settings, ceiling_of(settings).capacity, items)


def _wait(stages: Sequence[Stage], pools: Sequence[Pool], wait_s: float) -> None:
    """Wait until the cluster holds what the pools need. Raises InputError if it does not within the time."""
    deadline_s, said_s = time.monotonic() + wait_s, float("-inf")
    while not (live := live_capacity()).holds(needed(pools)):
        if time.monotonic() >= deadline_s:
            waited = f" after {wait_s:.0f} s" if wait_s else ""
            raise InputError(f"{explain(stages, pools, live)}{waited}; {_advice()}")
        if time.monotonic() - said_s >= LINE_EVERY_S:
            print(f"waiting for nodes: {explain(stages, pools, live)}", flush=True)
            said_s = time.monotonic()
        time.sleep(POLL_EVERY_S)


@contextmanager
def _asking_for(pools: Sequence[Pool]) -> Iterator[None]:
    """Ask an autoscaler for what the pools need at least; harmless without one.

    The request is taken back at the end: it would hold the nodes for ever, while pools that run hold their
    own and let go of them.
    """
    bundles: list[dict[str, Any]] = []
    for pool in pools:
        bundle = {"CPU": pool.num_cpus} | ({"GPU": pool.num_gpus} if pool.num_gpus else {})
        bundles += [bundle] * max(pool.least_actors, 1)
    request_resources(bundles=bundles)
    try:
        yield
    finally:
        request_resources(bundles=[])


def _capacity(resources: dict[str, Any]) -> Capacity:
    return Capacity(float(resources.get("CPU", 0)), float(resources.get("GPU", 0)))


def _advice() -> str:
    return "use fewer --actors, another --device, a larger cluster, or --wait-for-resources-s"
