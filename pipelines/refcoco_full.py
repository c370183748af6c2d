"""Score visual prompting methods on RefCOCO, RefCOCO+ and RefCOCOg, and print the table.

Example: python pipelines/refcoco_full.py --data shards --out out --methods P --encoders ViT-B-32:openai
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from pydantic import Field

from infra.dataset.shards import Split, read_manifest, require_files
from infra.errors import InputError
from infra.execution.executor import make_executor
from infra.execution.reachable import require_reachable
from infra.execution.stage import Executor
from infra.files import storage
from infra.run.artifacts import ArtifactStore
from infra.run.choosing import choose_splits
from infra.run.command_line import run_job
from infra.run.estimate import (
    Throughput,
    device_hours,
    error_line,
    estimate_rows,
    read_throughput,
    work_of,
)
from infra.run.finish import finish, folder_of_run, recorded_plan
from infra.run.heartbeat import Heartbeat
from infra.run.make_missing import make_missing, where
from infra.run.needs import known_gaps, require_needs
from infra.run.options import ExecutorOptions, Exit
from infra.run.plan import Plan, choose_shards, describe
from infra.run.provenance import utc_now
from infra.run.redo import redo_quarantined
from infra.run.vocabulary import check_words
from infra.weights.checkpoint_check import check_attention, check_weights
from infra.weights.encoders import resolve_encoder, silent_choices
from infra.weights.segmenters import resolve_segmenter
from infra.weights.sources import place_of_model
from operators.methods.catalog import Row, find_rows
from operators.methods.method import Method, Proposals
from operators.methods.models import Encoder, Segmenter
from operators.methods.products import Predictions
from operators.methods.variants import MaskSource

# Where neither the command line nor the catalogue names any.
ENCODERS = "ViT-B-32:openai"


class BenchmarkOptions(ExecutorOptions):
    """Score methods on prepared shards and print the table of accuracies."""

    data: str
    """Folder made by prepare_refcoco.py; any fsspec URL."""
    out: str
    """Folder for the run's own files: tables and run.json."""
    artifacts: str | None = None
    """Folder of reusable results (features, predictions); <out>/artifacts by default, and may be shared."""
    datasets: tuple[str, ...] = ()
    """Datasets to score; all that were prepared by default."""
    splits: tuple[str, ...] = ()
    """Splits to score; all that were prepared by default."""
    proposals: Annotated[tuple[Proposals, ...], Field(min_length=1)] = ("gold", "detections")
    """Where candidate boxes come from; every source is a line of its own."""
    methods: Annotated[tuple[str, ...], Field(min_length=1)] = ("first-box", "P")
    """Names from the catalogue (fgvp-table, falip-table: whole tables), or paper notation (quote it)."""
    encoders: tuple[str, ...] = ()
    """ARCHITECTURE:TAG, ARCHITECTURE:FILE, a model folder or clip-shapes; a comma joins an ensemble.
    By default a catalogued method has its published ensemble, paper notation ViT-B-32:openai."""
    segmenter: str = "vit_h:published"
    """SAM for drawings with masks: vit_b, vit_l or vit_h with `:published`, :FILE or :URL; or sam-shapes."""
    masks: Literal["box", "exact"] = "box"
    """Masks of drawings that use them: SAM prompted with each box, or the dataset's own."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2)
    """Seeds of the caption draw of S; tables print mean and spread."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many images, rounded up to whole shards."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Of the models; `auto` is bfloat16 on a GPU and float32 on a CPU. Part of every fingerprint."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Share of expressions that may be set aside before the job ends with exit 3."""
    retry_quarantined: bool = False
    """Make parts anew that hold expressions set aside for a cause found while running, not when preparing."""
    plan: bool = False
    """Print the plan and stop."""
    throughput: str | None = None
    """YAML file of a measured pace (bench.py writes one); the plan then says how long it takes."""


def benchmark(options: BenchmarkOptions) -> int:
    """Run the benchmark and return its exit status (`infra.run.options.Exit`).

    Raises:
        InputError: for anything in the options or the prepared data that cannot be used.
    """
    return run_benchmark(options)[0]


def run_benchmark(options: BenchmarkOptions) -> tuple[Exit, str | None]:
    """Plan, make what is missing, recount from the files, write tables.

    Returns:
        The exit status and the run's folder, None if only the plan was asked for.

    Raises:
        InputError: as `benchmark`.
    """
    started = utc_now()
    require_reachable(_places(options), nodes=1, shared_filesystem=options.shared_filesystem)
    plan = make_plan(options)
    if options.retry_quarantined:
        plan = redo_quarantined(plan)
    executor = make_executor(options.executor, plan.settings) if plan.pending_shards() else None
    pace = read_throughput(options.throughput) if options.throughput else None
    work = _check_before_models(plan, executor, pace)
    if options.plan:
        return Exit.COMPLETE, None
    for place in (options.out, plan.store.root):
        storage.require_writable(place)
    folder = folder_of_run(plan, options.out, started)
    counts: dict[str, int] = {}
    if executor:
        require_reachable(_places(options), executor.nodes, options.shared_filesystem)
        began_s = time.monotonic()
        with Heartbeat(folder, recorded_plan(plan), executor, started):
            make_missing(plan, executor)
        counts = executor.counts
        if pace and work and (hours := pace.hours(work)):
            print(error_line(hours, device_hours(executor, time.monotonic() - began_s)), flush=True)
        plan = replace(
            plan, store=ArtifactStore(plan.store.root), redo=frozenset()
        )  # look at the files afresh
    status = finish(
        plan,
        folder=folder,
        max_quarantined=options.max_quarantined,
        options=options.model_dump(mode="json"),
        counts=counts,
        started=started,
    )
    return status, folder


def make_plan(options: BenchmarkOptions) -> Plan:
    """Resolve options into a plan without loading a model.

    Raises:
        InputError: for unknown names, missing files, or data that lacks what is asked for.
    """
    options = _with_dtype(options)
    manifest = read_manifest(options.data)
    splits = choose_splits(manifest, options.data, options.datasets, options.splits)
    rows = [row for text in options.methods for row in _rows(text, options.masks)]
    mask_sources = {variant.mask_source for row in rows for variant in row.method.variants}
    methods = [row.method for row in rows]
    require_needs(manifest, options.data, splits, methods, options.proposals)
    segmenter = resolve_segmenter(options.segmenter, options.dtype) if "box" in mask_sources else None
    predictions = _predictions(options, _with_encoders(rows, options), segmenter, splits)
    return Plan(
        data=storage.absolute(options.data),
        store=ArtifactStore(storage.absolute(options.artifacts or storage.join(options.out, "artifacts"))),
        shards=choose_shards(manifest, splits, options.limit),
        splits=splits,
        predictions=predictions,
        settings=options.settings(options.device),
        joins=tuple(manifest.joins),
        gaps=(
            *known_gaps(manifest, splits, methods, options.proposals),
            *silent_choices(dict.fromkeys(encoder for p in predictions for encoder in p.encoders)),
        ),
    )


def _with_dtype(options: BenchmarkOptions) -> BenchmarkOptions:
    """Settle `--dtype auto` by where the models will run."""
    if options.dtype != "auto":
        return options
    device = make_executor(options.executor, options.settings(options.device)).settings.device
    return options.model_copy(update={"dtype": "float32" if device == "cpu" else "bfloat16"})


def _check_before_models(
    plan: Plan, executor: Executor | None, pace: Throughput | None
) -> Mapping[str, float] | None:
    """Print the plan, refuse what can be known to fail before a model is loaded, and return what is to
    compute."""
    require_files(plan.data, plan.needed_files())
    if not executor:
        print(describe(plan, "nothing, all parts exist"), flush=True)
        return None
    work = work_of(plan)
    print(describe(plan, where(plan, executor), estimate_rows(work, pace)), flush=True)
    check_words(plan)
    check_attention(plan.predictions)
    check_weights(*plan.missing_models())
    return work


def _rows(text: str, masks: MaskSource) -> Sequence[Row]:
    """Look up what `--methods` names."""
    try:
        rows = find_rows(text, masks)
    except ValueError as problem:
        raise InputError(f"--methods: {problem}") from problem
    if any(v.colored_by_text for row in rows for v in row.method.variants):
        raise InputError(
            f"--methods {text}: pictures in the colour of a text have no features that could be stored; "
            "pipelines/preview.py draws and scores them"
        )
    return rows


def _with_encoders(
    rows: Sequence[Row], options: BenchmarkOptions
) -> list[tuple[Method, tuple[Encoder, ...]]]:
    """Pair every method with the ensembles it runs with: those asked for, else the published; none if it
    needs none."""
    wanted: list[tuple[Method, str]] = []
    for row in rows:
        texts = options.encoders or [row.encoders or ENCODERS]
        wanted += [(row.method, text) for text in (texts if row.method.variants else [""])]
    names = dict.fromkeys(name for _, text in wanted for name in text.split(",") if name)
    encoders = {name: resolve_encoder(name, options.dtype) for name in names}
    return [(method, tuple(encoders[n] for n in text.split(",") if n)) for method, text in wanted]


def _predictions(
    options: BenchmarkOptions,
    methods: Sequence[tuple[Method, tuple[Encoder, ...]]],
    segmenter: Segmenter | None,
    splits: Sequence[Split],
) -> tuple[Predictions, ...]:
    """Cross methods with proposal sources and seeds; a method asks only for what it uses."""
    names = tuple((split.dataset, split.split, split.bank_digest) for split in splits)
    products = [
        Predictions(
            method=method.with_seed(seed),
            encoders=encoders,
            proposals=proposals,
            segmenter=segmenter if any(v.mask_source == "box" for v in method.variants) else None,
            splits=names,
        )
        for method, encoders in methods
        for proposals in options.proposals
        for seed in options.seeds
    ]
    return tuple(dict.fromkeys(products))


def _places(options: BenchmarkOptions) -> dict[str, str | None]:
    """Return every place that the options name, by option."""
    places: dict[str, str | None] = {
        "--data": options.data,
        "--out": options.out,
        "--artifacts": options.artifacts,
    }
    for text in (name for ensemble in options.encoders for name in ensemble.split(",")):
        places[f"--encoders {text}"] = place_of_model(text)
    return places | {"--segmenter": place_of_model(options.segmenter)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(BenchmarkOptions, benchmark, argv)


if __name__ == "__main__":
    sys.exit(main())
