"""Training of the small bundled models on scenes; one module a task."""

from __future__ import annotations

from operators.training.clip_shapes import ClipShapes
from operators.training.sam_shapes import SamShapes
from operators.training.task import Task

TASKS: dict[str, type[ClipShapes] | type[SamShapes]] = {task.name: task for task in (ClipShapes, SamShapes)}


def make_task(name: str, seed: int) -> Task:
    """Return a task by the name of its model."""
    return TASKS[name](seed)
