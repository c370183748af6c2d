"""Measure the job against a straightforward program: the same work, the same weights, the same machine.

Example: python pipelines/bench.py --out build/bench
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

import yaml
from pydantic import Field

from infra.bench.machine import machine
from infra.bench.pictures import make_pictures
from infra.bench.sides import (
    SEED,
    Outcome,
    Work,
    answers_of_run,
    largest_difference,
    measured,
    plain_answers,
    read_outcome,
    time_models,
)
from infra.bench.spent import Spent
from infra.bench.table import speed_table
from infra.errors import InputError
from infra.run.command_line import run_job
from infra.run.estimate import Throughput, work_of
from infra.run.options import Exit, Options
from pipelines.refcoco_full import BenchmarkOptions, make_plan, run_benchmark

Side = Literal["plain", "plain, pictures kept", "ours"]
SIDES: tuple[Side, ...] = get_args(Side)
CAPTIONS = 702  # of the bank: 500 are drawn for every sentence
MOST_DIFFERENCE = 1e-3


class BenchOptions(Options):
    """Measure CPU seconds of the whole process, steps, memory, and whether the answers are equal."""

    out: str = "build/bench"
    """Folder on this machine for data, weights, what was measured (bench.json) and the table."""
    pictures: Annotated[int, Field(ge=1)] = 1
    boxes: Annotated[int, Field(ge=1)] = 6
    sentences: Annotated[int, Field(ge=1)] = 6
    """Of each picture."""
    drawings: Annotated[tuple[str, ...], Field(min_length=1)] = ("P", "D1", "D3", "D4")
    """Codes of the paper notation: P, I, C1, C3, C4, D1, D3 or D4."""
    subtract: bool = True
    """Subtract 500 captions (S)."""
    architecture: str = "ViT-B-32-quickgelu"
    """Of CLIP, by open_clip's name."""
    clip: str | None = None
    """Weights of CLIP, safetensors; random ones by default."""
    sam_architecture: Literal["vit_b", "vit_l", "vit_h"] = "vit_b"
    sam: str | None = None
    """Weights of SAM, .pth; random ones by default."""
    threads: Annotated[int, Field(ge=1)] = 1
    repeats: Annotated[int, Field(ge=1)] = 1
    sides: Annotated[tuple[Side, ...], Field(min_length=1)] = SIDES
    """Who does the work; the others are compared with the last."""
    child: Side | None = None
    """For the bench itself: do one side's work in this process and write what it took."""


def bench(options: BenchOptions) -> int:
    """Measure, print the table, write it; exit 3 if the answers differ."""
    out = Path(options.out).resolve()
    if options.child:
        return _do(options.child, Work.model_validate_json((out / "work.json").read_text()), out)
    work = _prepare(options, out)
    (out / "work.json").write_text(work.model_dump_json(indent=1))
    outcomes: dict[str, list[Outcome]] = {side: [] for side in options.sides}
    for number in range(options.repeats):
        for side in options.sides:
            print(f"{side}, {number + 1} of {options.repeats} …", flush=True)
            outcomes[side].append(_measure(side, out))
    differences = {
        side: largest_difference(found[0], outcomes[options.sides[-1]][0]) for side, found in outcomes.items()
    }
    table = speed_table(outcomes, differences, work)
    record = {
        "machine": machine(),
        "work": work.model_dump(),
        "outcomes": {s: [o.model_dump() for o in found] for s, found in outcomes.items()},
        "cpu_s": {s: statistics.median(o.cpu_s for o in found) for s, found in outcomes.items()},
        "differences": differences,
    }
    (out / "bench.json").write_text(json.dumps(record, indent=1))
    _write_throughput(out, work, outcomes.get("ours", []))
    (out / "bench.md").write_text(table)
    print(f"\n{table}\nmeasurements: {out / 'bench.json'}; table: {out / 'bench.md'}")
    far = [side for side, (most, decisions) in differences.items() if most > MOST_DIFFERENCE or decisions]
    if far:
        print(f"answers differ: {far}")
    return Exit.QUARANTINE_ABOVE_LIMIT if far else Exit.COMPLETE


def _prepare(options: BenchOptions, out: Path) -> Work:
    """Make the pictures and, unless they are given, the weights."""
    data = out / f"pictures-{options.pictures}-{options.boxes}-{options.sentences}"
    make_pictures(str(data), options.pictures, options.boxes, options.sentences, CAPTIONS)
    sam_name, weights = f"sam_{options.sam_architecture}", out / "weights"
    absent = [] if options.clip else [options.architecture]
    absent += [] if options.sam else [sam_name]
    if absent:
        command = [sys.executable, str(Path(__file__).with_name("random_weights.py"))]
        if subprocess.run([*command, "--models", *absent, "--out", str(weights)]).returncode:
            raise InputError(f"no random weights of {', '.join(absent)}; see above")
    return Work(
        data=str(data),
        pictures=options.pictures,
        drawings=options.drawings,
        subtract=options.subtract,
        architecture=options.architecture,
        clip=options.clip or str(weights / f"{options.architecture}.safetensors"),
        sam_architecture=options.sam_architecture,
        sam=options.sam or str(weights / f"{sam_name}.pth"),
        threads=options.threads,
    )


def _write_throughput(out: Path, work: Work, outcomes: Sequence[Outcome]) -> None:
    """Write the pace of the job's steps, for estimates of other runs on this machine."""
    if not outcomes:
        return
    flops = work_of(make_plan(_job(work, out / "nothing")))
    assert flops is not None
    steps = {"segment": ("SAM encoder", "SAM decoder"), "encode": ("CLIP pictures",), "texts": ("texts",)}
    seconds = {
        step: statistics.median(sum(o.steps.get(name, 0.0) for name in names) for o in outcomes)
        for step, names in steps.items()
    }
    pace = {step: flops[step] / seconds[step] / 1e12 for step in steps if flops[step] and seconds[step]}
    told = f"{machine()['processor']}, {work.threads} threads, float32"
    content = Throughput(device=told, tflop_per_s=pace).model_dump(exclude_none=True)
    (out / "throughput.yaml").write_text(yaml.safe_dump(content))


def _measure(side: str, out: Path) -> Outcome:
    """Do one side's work in a process of its own."""
    command = [sys.executable, __file__, "--out", str(out), "--child", side]
    with (out / "log").open("a") as log:
        status = subprocess.run(command, stdout=log, stderr=log).returncode
    if status:
        raise InputError(f"{side} ended with {status}; see {out / 'log'}")
    return read_outcome(out / "outcome.json")


def _do(side: str, work: Work, out: Path) -> int:
    """Do one side's work here."""
    if side == "ours":
        outcome = measured(lambda spent: _ours(work, out, spent))
    else:
        outcome = measured(lambda spent: plain_answers(work, spent, keep_images=side != "plain"))
    (out / "outcome.json").write_text(outcome.model_dump_json())
    return Exit.COMPLETE


def _ours(work: Work, out: Path, spent: Spent) -> dict[str, list[float]]:
    """Run the job from empty folders."""
    time_models(spent)
    shutil.rmtree(out / "run", ignore_errors=True)
    status, folder = run_benchmark(_job(work, out / "run"))
    if status != Exit.COMPLETE or folder is None:
        raise InputError(f"the job ended with exit {int(status)}")
    return answers_of_run(folder)


def _job(work: Work, out: Path) -> BenchmarkOptions:
    """Return the job that does the work."""
    return BenchmarkOptions(
        data=work.data,
        out=str(out),
        methods=(work.method,),
        encoders=(f"{work.architecture}:{work.clip}",),
        segmenter=f"{work.sam_architecture}:{work.sam}",
        proposals=("gold",),
        seeds=(SEED,),
        limit=work.pictures,
        threads=work.threads,
        device="cpu",
        executor="inline",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(BenchOptions, bench, argv)


if __name__ == "__main__":
    sys.exit(main())
