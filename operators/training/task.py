"""What can be trained: a task says how to build a model, make examples, and measure loss and quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch

WEIGHT_DECAY = 0.05
WARMUP_SHARE = 0.05
BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class ModelFolder:
    """How a trained model is stored: the names of its two files, and the content of the first."""

    config_name: str
    weights_name: str
    config: dict[str, Any]


class Task(Protocol):
    """One model to train.

    Attributes:
        name: of the model.
        steps: optimiser steps of a whole training.
        learning_rate: its peak.
        cycles: first step and length of each fall of the learning rate along a cosine.
        folder: how the model is stored.
    """

    name: str
    steps: int
    learning_rate: float
    cycles: tuple[tuple[int, int], ...]
    folder: ModelFolder

    def build(self) -> torch.nn.Module:
        """Return the model with fresh weights that depend on the task's seed alone."""

    def exported(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the part of the state dict of `build` that is stored; the rest only helps the training."""

    def examples(self, step: int) -> dict[str, Any]:
        """Return the batch of a step, which depends on seed and step alone; tensors, or lists of them."""

    def loss(self, model: Any, batch: dict[str, Any], progress: float) -> torch.Tensor:
        """Return the loss of a batch; `progress` is the share of the training that is done."""

    def evaluate(self, model: Any) -> dict[str, float]:
        """Return how well a model does on held-out scenes."""


def make_optimizer(task: Task, model: torch.nn.Module) -> torch.optim.AdamW:
    """Return the optimiser; vectors and scalars are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=task.learning_rate, betas=BETAS)


def learning_rate_at(task: Task, step: int) -> float:
    """Return the learning rate of a step: a short rise, then half a cosine, in every cycle."""
    first, length = next(cycle for cycle in reversed(task.cycles) if cycle[0] <= step)
    done = (step - first) / length
    rise = min(1.0, (done + 1 / length) / WARMUP_SHARE)
    return task.learning_rate * rise * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))


def to_device(batch: Any, device: str) -> Any:
    """Move the tensors of a batch, also those inside lists."""
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    return batch.to(device)
