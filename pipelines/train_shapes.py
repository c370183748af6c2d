"""Train the small CLIP and SAM that come with the project, on synthetic scenes.

Example: python pipelines/train_shapes.py --out models --state models/checkpoints
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from pydantic import Field

from infra.errors import InputError
from infra.execution.progress import Counts, Display
from infra.execution.ray_environment import settle_ray_environment
from infra.execution.vitals import Watch
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.run.provenance import provenance
from infra.weights.checkpoint_card import write_card
from infra.weights.fetch import written_whole

RECORD = "training.json"
Model = Literal["clip-shapes", "sam-shapes"]
MODELS: tuple[Model, ...] = ("clip-shapes", "sam-shapes")


class TrainOptions(Options):
    """Train the small bundled models on synthetic scenes. The same command goes on after an interruption."""

    out: str
    """Folder on this machine for the trained model folders."""
    state: str
    """Folder for checkpoints; any URL that pyarrow knows."""
    models: tuple[Model, ...] = MODELS
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps; by default those of a whole training."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    threads: Annotated[int, Field(ge=1)] = 2
    ahead: Annotated[int, Field(ge=1)] = 3
    """Batches drawn in advance, each by a task of its own."""


def train_shapes(options: TrainOptions) -> int:
    """Train what is not trained yet, write the model folders and return the exit status.

    Raises:
        InputError: if `out` is not on this machine.
    """
    if not storage.is_local(options.out):
        raise InputError(f"--out {options.out}: name a folder on this machine")
    os.environ.setdefault("RAY_TRAIN_ENABLE_CONTROLLER_LOGGING", "0")
    settle_ray_environment()
    for name in options.models:
        result = _train(name, options)
        if result.checkpoint is None:
            print(f"{name}: no checkpoint was written; the same command goes on from here")
            return Exit.INCOMPLETE
        _write_folder(name, options, result)
    return Exit.COMPLETE


def _train(name: Model, options: TrainOptions) -> Any:
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from infra.execution.cluster import connect, live_capacity
    from infra.execution.ray_data import ActorReporter
    from infra.training.loop import train_in_worker
    from operators.training import make_task

    connect(dashboard=True)
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    steps = options.steps or make_task(name, options.seed).steps
    reporter = ActorReporter(ray.remote(num_cpus=0)(Counts).remote())
    gpu = live_capacity().gpus > 0
    config = {
        "task": name,
        "seed": options.seed,
        "steps": steps,
        "checkpoint_every": options.checkpoint_every,
        "threads": options.threads,
        "ahead": options.ahead,
        "device": "cuda" if gpu else "cpu",
        "reporter": reporter,
    }
    # A run of that name goes on from its last checkpoint.
    run = RunConfig(
        name=f"{name}-seed{options.seed}-{steps}steps",
        storage_path=storage.absolute(options.state),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
        failure_config=FailureConfig(max_failures=2),
    )
    trainer = TorchTrainer(
        train_in_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=1, use_gpu=gpu),
        run_config=run,
    )
    with Display(Watch(f"training {name}", {f"{name} steps": steps}, reporter.snapshot)):
        return trainer.fit()


def _write_folder(name: Model, options: TrainOptions, result: Any) -> None:
    """Write weights in float16 with a card, configuration and the training record, and say where."""
    import torch
    from safetensors.torch import save_file

    from infra.training.loop import STATE
    from operators.training import make_task

    task = make_task(name, options.seed)
    with result.checkpoint.as_directory() as folder:
        state = torch.load(Path(folder, STATE), weights_only=True, map_location="cpu")
    folder = storage.join(storage.absolute(options.out), name)
    weights = storage.join(folder, task.folder.weights_name)
    with written_whole(weights) as temporary:
        save_file({k: _half(v) for k, v in task.exported(state["model"]).items()}, temporary)
    config = json.dumps(task.folder.config, indent=1)
    storage.write_bytes(storage.join(folder, task.folder.config_name), config.encode())
    made_by = f"pipelines/train_shapes.py --seed {options.seed}"
    card = write_card(weights, label="tiny", architecture=name, made_by=made_by)
    record = {
        "model": name,
        "sha256": card.sha256,
        "seed": options.seed,
        "steps": state["step"],
        "seconds": round(state["seconds"]),
        "history": state["history"],
        **provenance(),
    }
    storage.write_bytes(storage.join(folder, RECORD), json.dumps(record, indent=1).encode())
    print(
        f"{name}: {state['step']} steps in {state['seconds']:.0f} s; last: {json.dumps(state['history'][-1])}"
    )
    print(f"{name}: {folder}, SHA-256 {card.sha256}", flush=True)


def _half(value: Any) -> Any:
    return (value.half() if value.is_floating_point() else value).contiguous()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(TrainOptions, train_shapes, argv)


if __name__ == "__main__":
    sys.exit(main())
