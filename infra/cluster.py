"""Connecting to Ray, and how many actors of what size a stage gets."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from infra.plan import Settings
from infra.ray_environment import belongs_to_a_cluster

ROOT = Path(__file__).resolve().parents[1]
GPU_SHARE = 0.5


@dataclass(frozen=True)
class Pool:
    """The actors of one stage; no actors means stateless tasks."""

    actors: int = 0
    num_cpus: float = 0.25
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


def model_pool(settings: Settings) -> Pool:
    """Return the pool of a stage that runs a model.

    One actor a GPU where there are GPUs; otherwise one for every `threads` CPUs, leaving one CPU to the
    other stages.
    """
    resources: dict[str, Any] = ray.cluster_resources()
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    if settings.device != "cpu" and gpus:
        return Pool(settings.actors or gpus, num_cpus=0.5, num_gpus=GPU_SHARE)
    actors = settings.actors or max(1, (cpus - 1) // settings.threads)
    return Pool(actors, num_cpus=min(1.0, 1.0 / actors) if cpus <= 2 else float(settings.threads))


def light_pool() -> Pool:
    """Return the pool of a stage without a model."""
    return Pool(actors=1, num_cpus=0.25)
