"""What is measured: one piece of work, done by the straightforward program or by this project's job."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from infra.bench.spent import Spent
from infra.dataset.shards import read_bank, read_manifest, read_shard
from infra.run.record import read_run
from operators.methods.method import Subtraction
from operators.pixels.images import decode_row
from operators.score.subtraction import draw_negatives

SEED = 0


class Work(BaseModel):
    """What both sides do.

    Attributes:
        data: prepared shards; the first split of the first dataset is scored.
        pictures: how many of them, one a shard.
        drawings: codes of the paper notation.
        subtract: whether S subtracts 500 captions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    pictures: int
    drawings: tuple[str, ...]
    subtract: bool
    architecture: str
    clip: str
    sam_architecture: str
    sam: str
    threads: int

    @property
    def method(self) -> str:
        """Return the method in paper notation."""
        return "|".join(self.drawings) + (",S" if self.subtract else "")


class Outcome(BaseModel):
    """What one side took, and its answers.

    Attributes:
        cpu_s: of the whole process, imports included.
        wall_s: from the first to the last line of the work.
        model_s: CPU seconds inside the models.
        peak_mib: of memory.
        steps: CPU seconds by step.
        answers: distribution over the boxes by expression.
    """

    cpu_s: float
    wall_s: float
    model_s: float
    peak_mib: float
    steps: dict[str, float]
    answers: dict[str, list[float]]


MODELS = ("SAM encoder", "SAM decoder", "CLIP pictures", "texts")


def measured(act: Callable[[Spent], dict[str, list[float]]]) -> Outcome:
    """Run one side in this process, which should do nothing else."""
    spent, began_s = Spent(), time.perf_counter()
    answers = act(spent)
    return Outcome(
        cpu_s=time.process_time(),
        wall_s=time.perf_counter() - began_s,
        model_s=sum(spent.seconds[step] for step in MODELS),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        steps=dict(spent.seconds),
        answers=answers,
    )


def plain_answers(work: Work, spent: Spent, keep_images: bool) -> dict[str, list[float]]:
    """Answer with the straightforward program."""
    import torch

    from infra.bench.plain_program import PlainProgram

    torch.set_num_threads(work.threads)
    program = PlainProgram(
        work.architecture, work.clip, work.sam_architecture, work.sam, spent, keep_images=keep_images
    )
    answers = {}
    for expression_id, image, boxes, caption, negatives in _questions(work):
        found = program.probabilities(image, boxes, caption, negatives, work.drawings)
        answers[expression_id] = found.tolist()
    return answers


def _questions(work: Work) -> Iterator[tuple[str, Image.Image, list[Any], str, list[str]]]:
    """Yield what is asked: expression, picture, boxes, caption, captions to subtract."""
    manifest = read_manifest(work.data)
    split = manifest.splits[0]
    bank = read_bank(work.data, split)
    for shard in manifest.shards[: work.pictures]:
        for row in read_shard(work.data, shard).to_pylist():
            image, regions = decode_row(row), row["regions"]
            (gold,) = (s for s in row["proposal_sets"] if s["name"] == f"gold/{split.dataset}")
            boxes = [regions[i]["box_xywh"] for i in gold["region_ids"]]
            for ref in (r for r in row["refs"] if (r["dataset"], r["split"]) == (split.dataset, split.split)):
                for expression in ref["expressions"]:
                    drawn = draw_negatives(
                        Subtraction(seed=SEED), ref, expression["expression_id"], len(bank)
                    )
                    negatives = [bank[i] for i in drawn] if work.subtract else []
                    yield expression["expression_id"], image, boxes, expression["text"], negatives


def answers_of_run(folder: str) -> dict[str, list[float]]:
    """Return the distributions that a run of the job wrote, by expression."""
    run = read_run(folder)
    (folder_of_predictions,) = run.plan.predictions
    parts = run.predictions(folder_of_predictions).values()
    rows = (row for part in parts for row in part.column("predictions").to_pylist())
    return {p["expression_id"]: p["probabilities"] for predictions in rows for p in predictions}


def time_models(spent: Spent) -> None:
    """Let this project's models and steps count what they take, for the rest of this process."""
    from operators.encode import images
    from operators.encode.encoders.open_clip import ClipModel
    from operators.segment import sam_model
    from operators.segment.sam_model import SegmentAnything

    _timed(SegmentAnything, "embed_frames", spent, "SAM encoder")
    _timed(SegmentAnything, "decode", spent, "SAM decoder")
    _timed(sam_model, "remove_small_regions", spent, "small regions")
    _timed(ClipModel, "encode_images", spent, "CLIP pictures")
    _timed(ClipModel, "encode_texts", spent, "texts")
    _timed(images, "model_input", spent, "drawing")


def _timed(owner: Any, name: str, spent: Spent, step: str) -> None:
    original = getattr(owner, name)

    def counted(*arguments: Any, **more: Any) -> Any:
        with spent.on(step):
            return original(*arguments, **more)

    setattr(owner, name, counted)


def largest_difference(first: Outcome, second: Outcome) -> tuple[float, int]:
    """Return the largest difference of a probability, and how many decisions differ.

    Raises:
        ValueError: if they did not answer the same expressions.
    """
    if first.answers.keys() != second.answers.keys():
        raise ValueError("the two sides answered different expressions")
    pairs = [(np.array(first.answers[key]), np.array(second.answers[key])) for key in first.answers]
    return (
        max(float(np.abs(a - b).max()) for a, b in pairs),
        sum(int(a.argmax() != b.argmax()) for a, b in pairs),
    )


def read_outcome(path: Path) -> Outcome:
    """Read what a child process wrote."""
    return Outcome.model_validate_json(path.read_text())
