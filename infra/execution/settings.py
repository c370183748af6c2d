"""What changes speed or place but never a number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What changes speed or place but never a number on CPU float32.

    Attributes:
        device: torch device of the model actors.
        threads: torch threads of one actor.
        actors: model actors; 0 for as many as the cluster has room for.
        views_per_batch: GPU batch of the image tower.
        wait_for_resources_s: how long to wait for nodes; None for 0, or 900 with an autoscaler.
    """

    device: str = "cpu"
    threads: int = 2
    actors: int = 0
    views_per_batch: int = 256
    wait_for_resources_s: float | None = None
