"""Connecting to Ray, and how many actors of what size a stage gets."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from infra.executor import Stage
from infra.plan import Settings
from infra.ray_environment import belongs_to_a_cluster

ROOT = Path(__file__).resolve().parents[1]
LIGHT_CPUS = 0.25


@dataclass(frozen=True)
class Pool:
    """The actors of one stage; no actors means stateless tasks."""

    actors: int
    num_cpus: float = LIGHT_CPUS
    num_gpus: float = 0.0


def connect() -> None:
    """Connect to the cluster of this job, to RAY_ADDRESS, or start a private one on this machine."""
    if ray.is_initialized():
        return
    if belongs_to_a_cluster():
        ray.init(logging_level=logging.WARNING)
        return
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ray.init(
        include_dashboard=False,
        logging_level=logging.WARNING,
        log_to_driver=True,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}},
    )


def pools(stages: Sequence[Stage], settings: Settings) -> list[Pool]:
    """Return the pool of every stage of a stream, sized so that all of them run at once.

    Each stage without a model takes a small share of a CPU. Model stages get a share of a GPU each where
    there are GPUs, one actor a GPU; otherwise they split the CPUs that are left, `threads` to an actor. A
    stream whose pools do not fit together waits for ever (measured), so shares shrink before that happens.
    """
    resources: dict[str, Any] = ray.cluster_resources()
    models = sum(stage.size == "model" for stage in stages)
    gpus = int(resources.get("GPU", 0)) if settings.device != "cpu" else 0
    # One light share more than there are stages: the first stage reads with tasks while actors start.
    free_cpus = float(resources.get("CPU", 1)) - LIGHT_CPUS * (len(stages) - models + 1)
    fitting = gpus or int(free_cpus // (settings.threads * max(models, 1)))
    actors = settings.actors or max(1, fitting)
    cpus = min(float(settings.threads), free_cpus / max(models * actors, 1))
    model = Pool(
        actors, num_cpus=max(_hundredths(cpus), 0.01), num_gpus=_hundredths(1 / models) if gpus else 0
    )
    sizes = {"model": model, "light": Pool(actors=1), "task": Pool(actors=0)}
    return [sizes[stage.size] for stage in stages]


def _hundredths(value: float) -> float:
    return int(value * 100) / 100
