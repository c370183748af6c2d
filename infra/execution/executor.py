"""The vocabulary shared by the two executors: a stream of items sent through stages."""

from __future__ import annotations

from typing import Literal

from infra.execution.ray_environment import settle_ray_environment
from infra.execution.settings import Settings
from infra.execution.stage import Executor


def make_executor(name: Literal["ray", "inline"], settings: Settings) -> Executor:
    """Return an executor; Ray is imported only if asked for."""
    if name == "inline":
        from infra.execution.inline import InlineExecutor

        return InlineExecutor(settings)
    settle_ray_environment()
    from infra.execution.ray_data import RayExecutor

    return RayExecutor(settings)
