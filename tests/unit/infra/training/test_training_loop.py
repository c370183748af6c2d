"""A training that was interrupted ends with the weights of one that was not."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from infra.training import loop as training_loop


class Line:
    """A task small enough to train in a blink: fit a line, with noise drawn inside the loss."""

    name = "line"
    steps = 8
    learning_rate = 0.1
    cycles = ((0, 4), (4, 4))

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def build(self):
        torch.manual_seed(self._seed)
        return torch.nn.Linear(2, 1)

    def examples(self, step: int):
        generator = torch.Generator().manual_seed(self._seed + step)
        x = torch.randn(16, 2, generator=generator)
        return {"x": x, "y": [x.sum(1, keepdim=True)]}

    def loss(self, model, batch, progress: float):
        assert 0 <= progress < 1
        noisy = batch["x"] + 0.01 * torch.randn_like(batch["x"])
        return (model(noisy) - batch["y"][0]).float().square().mean()

    def evaluate(self, model):
        assert not model.training
        return {"error": float((model.weight.detach() - 1).abs().max())}


class _Stopped(Exception):
    pass


class _FakeCheckpoint:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def as_directory(self):
        yield str(self._folder)


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Run the loop with Ray Train replaced by a list of checkpoints; returns them."""
    monkeypatch.setattr(training_loop, "make_task", lambda name, seed: Line(seed))
    monkeypatch.setattr(
        training_loop,
        "_batches",
        lambda config, first: ((s, Line(config["seed"]).examples(s)) for s in range(first, config["steps"])),
    )

    def run(after: list[Path], stop_after: int | None = None) -> list[Path]:
        written = list(after)

        class FakeTrain:
            Checkpoint = type("C", (), {"from_directory": staticmethod(Path)})

            @staticmethod
            def get_checkpoint():
                return _FakeCheckpoint(written[-1]) if written else None

            @staticmethod
            def report(metrics, checkpoint):
                kept = tmp_path / f"{len(list(tmp_path.iterdir()))}"
                kept.mkdir()
                (kept / training_loop.STATE).write_bytes((checkpoint / training_loop.STATE).read_bytes())
                written.append(kept)
                if stop_after is not None and len(written) == stop_after:
                    raise _Stopped

        monkeypatch.setattr(training_loop.ray, "train", FakeTrain)
        events: dict[str, int] = {}
        config = {"task": "line", "seed": 5, "steps": 8, "checkpoint_every": 2, "threads": 1, "device": "cpu"}
        config["reporter"] = lambda event, count: events.update({event: events.get(event, 0) + count})
        try:
            training_loop.train_in_worker(config)
        except _Stopped:
            return written
        assert events["line steps"] == 8  # the steps done before among them
        assert events["line steps before"] == (2 * len(after) if after else 0)
        return written

    return run


def _state(checkpoint: Path) -> dict:
    return torch.load(checkpoint / training_loop.STATE, weights_only=True)


def test_an_interruption_changes_nothing(train):
    whole = train([])
    resumed = train(train([], stop_after=2))
    first, second = _state(whole[-1]), _state(resumed[-1])
    assert len(whole) == len(resumed) == 4
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name])
    assert [e["step"] for e in second["history"]] == [2, 4, 6, 8]
    assert [e["loss"] for e in first["history"]] == [e["loss"] for e in second["history"]]
    assert first["history"][-1]["error"] < first["history"][0]["error"]
