"""One training run in a Ray Train worker: examples from Ray tasks, and the same result after a restart."""

from __future__ import annotations

import json
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch

from infra.execution.vitals import BEFORE
from infra.run.stages import settle_torch
from operators.training import make_task
from operators.training.task import Task, learning_rate_at, make_optimizer, to_device

STATE = "state.pt"
MAX_GRADIENT = 1.0


@ray.remote(num_cpus=0, max_retries=3)
def _examples(name: str, seed: int, step: int) -> Any:
    torch.set_num_threads(1)
    return make_task(name, seed).examples(step)


def train_in_worker(config: dict[str, Any]) -> None:
    """Train one task from its last checkpoint, if there is one, to the end.

    Args:
        config: `task`, `seed`, `steps`, `checkpoint_every` in steps, `threads`, `ahead` (batches made in
            advance), `device`, and `reporter` for progress.
    """
    settle_torch(config["threads"])
    task = make_task(config["task"], config["seed"])
    model = task.build().to(config["device"])
    optimizer = make_optimizer(task, model)
    state = _restore(model, optimizer)
    report = config["reporter"]
    for event in (f"{task.name} steps", f"{task.name} steps{BEFORE}"):
        report(event, state["step"])
    started = time.monotonic() - state["seconds"]
    for step, batch in _batches(config, state["step"]):
        loss = _step(task, model, optimizer, batch, config, step)
        report(f"{task.name} steps", 1)
        state |= {"step": step + 1, "seconds": time.monotonic() - started}
        state["losses"].append(loss)
        if (step + 1) % config["checkpoint_every"] == 0 or step + 1 == config["steps"]:
            _report(task, model, optimizer, state)


def _batches(config: dict[str, Any], first: int) -> Iterator[tuple[int, Any]]:
    """Yield the batches of the remaining steps; the next ones are made meanwhile."""
    coming: deque[Any] = deque()
    asked = first
    for step in range(first, config["steps"]):
        while asked < min(step + 1 + config["ahead"], config["steps"]):
            coming.append(_examples.remote(config["task"], config["seed"], asked))
            asked += 1
        yield step, to_device(ray.get(coming.popleft()), config["device"])


def _step(task: Task, model: Any, optimizer: Any, batch: Any, config: dict[str, Any], step: int) -> float:
    torch.manual_seed(config["seed"] * 1_000_003 + step)  # what a step draws does not depend on earlier ones
    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(task, step)
    model.train()
    with torch.autocast(config["device"], dtype=torch.bfloat16):
        loss = task.loss(model, batch, step / config["steps"])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
    optimizer.step()
    return float(loss.detach())


def _restore(model: torch.nn.Module, optimizer: Any) -> dict[str, Any]:
    """Load the last checkpoint of this run into model and optimiser; return where it stands."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return {"step": 0, "seconds": 0.0, "losses": [], "history": []}
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder, STATE), weights_only=True, map_location="cpu")
    model.load_state_dict(state.pop("model"))
    optimizer.load_state_dict(state.pop("optimizer"))
    return state


def _report(task: Task, model: Any, optimizer: Any, state: dict[str, Any]) -> None:
    """Measure on held-out scenes and write a checkpoint."""
    losses = state.pop("losses")
    entry = {"step": state["step"], "seconds": round(state["seconds"]), "loss": sum(losses) / len(losses)}
    model.eval()
    entry |= task.evaluate(model)
    state |= {"losses": [], "history": [*state["history"], entry]}
    print(f"{task.name}: {json.dumps(entry)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        whole = state | {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(whole, Path(folder, STATE))
        ray.train.report(entry, checkpoint=ray.train.Checkpoint.from_directory(folder))
