"""What changes speed or place but never a number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What changes speed or place but never a number on CPU float32.

    Attributes:
        device: torch device of the model actors.
        threads: torch threads of one actor.
        actors: model actors of each stage; 0 for as many as there is room for, or work.
        max_actors: most model actors of each stage; 0 for no bound.
        max_gpus: most GPUs that the run uses or asks an autoscaler for; None for what is known.
        views_per_batch: GPU batch of the image tower.
        gpu_hour_usd: price of a GPU hour, for the cost that progress lines tell.
        wait_for_resources_s: how long to wait for nodes; None for 0, or 900 with an autoscaler.
    """

    device: str = "cpu"
    threads: int = 2
    actors: int = 0
    max_actors: int = 0
    max_gpus: int | None = None
    views_per_batch: int = 256
    wait_for_resources_s: float | None = None
    gpu_hour_usd: float | None = None
