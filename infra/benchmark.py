"""The benchmark job: plan, make what is missing, recount from the files, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infra import storage
from infra.artifacts import ArtifactStore
from infra.checkpoint_check import check_attention, check_weights
from infra.errors import InputError
from infra.execution.settings import Settings
from infra.executor import make_executor
from infra.inline import find_device
from infra.making import make_missing
from infra.options import BenchmarkOptions, Exit
from infra.plan import Plan, choose_shards, describe
from infra.provenance import utc_now
from infra.reach import require_reachable
from infra.retry import redo_quarantined
from infra.run_record import finish
from infra.shards import Manifest, Split, read_manifest, require_files
from infra.vocabulary import check_words
from infra.weights import resolve_encoder, resolve_segmenter
from operators.methods.catalog import Row, find_rows
from operators.methods.method import Method
from operators.methods.models import Encoder, Segmenter
from operators.methods.products import Predictions
from operators.methods.variants import MaskSource

# Where neither the command line nor the catalogue names any.
ENCODERS = "ViT-B-32:openai"


def benchmark(options: BenchmarkOptions) -> int:
    """Run the benchmark and return its exit status (`infra.options.Exit`).

    Raises:
        InputError: for anything in the options or the prepared data that cannot be used.
    """
    return run_benchmark(options)[0]


def run_benchmark(options: BenchmarkOptions) -> tuple[Exit, str | None]:
    """Run the benchmark; return its exit status and the run's folder, None if only the plan was asked for.

    Raises:
        InputError: as `benchmark`.
    """
    started = utc_now()
    require_reachable(_urls(options), nodes=1, shared_filesystem=options.shared_filesystem)
    plan = make_plan(options)
    if options.retry_quarantined:
        plan = redo_quarantined(plan)
    require_files(plan.data, plan.needed_files())
    print(describe(plan), flush=True)
    if plan.pending_shards():
        check_words(plan)
        check_attention(plan.predictions)
        if options.executor == "inline":
            find_device(options.device)
    if options.plan:
        return Exit.COMPLETE, None
    for folder in (options.out, plan.store.root):
        storage.require_writable(folder)
    counts: dict[str, int] = {}
    if plan.pending_shards():
        check_weights(*_models(plan))
        executor = make_executor(options.executor, plan.settings)
        require_reachable(_urls(options), executor.nodes, options.shared_filesystem)
        make_missing(plan, executor)
        counts = executor.counts
        plan = replace(
            plan, store=ArtifactStore(plan.store.root), redo=frozenset()
        )  # look at the files afresh
    return finish(options, plan, counts, started)


def make_plan(options: BenchmarkOptions) -> Plan:
    """Resolve options into a plan without loading a model.

    Raises:
        InputError: for unknown names, missing files, or data that lacks what is asked for.
    """
    manifest = read_manifest(options.data)
    splits = _chosen_splits(manifest, options)
    for proposals in options.proposals:
        for dataset in dict.fromkeys(split.dataset for split in splits):
            if not {f"{proposals}/{dataset}", proposals} & set(manifest.proposal_sets):
                known = ", ".join(manifest.proposal_sets)
                raise InputError(
                    f"{options.data} has no {proposals!r} proposals for {dataset}; it has: {known}"
                )
    rows = [row for text in options.methods for row in _rows(text, options.masks)]
    if any(v.mask_source == "exact" for row in rows for v in row.method.variants):
        _require_exact_masks(manifest, splits, options)
    segmenter = None
    if any(v.mask_source == "box" for row in rows for v in row.method.variants):
        segmenter = resolve_segmenter(options.segmenter, options.dtype)
    wanted = [(row.method, text) for row in rows for text in _ensembles(row, options)]
    ensembles: dict[str | None, tuple[Encoder, ...]] = {None: ()}
    for text in dict.fromkeys(text for _, text in wanted if text is not None):
        ensembles[text] = tuple(resolve_encoder(e, options.dtype) for e in text.split(","))
    methods = [(method, ensembles[text]) for method, text in wanted]
    artifacts = options.artifacts or storage.join(options.out, "artifacts")
    return Plan(
        data=storage.absolute(options.data),
        store=ArtifactStore(storage.absolute(artifacts)),
        shards=choose_shards(manifest, splits, options.limit),
        splits=splits,
        predictions=_predictions(options, methods, segmenter, splits),
        settings=Settings(
            device=options.device,
            threads=options.threads,
            actors=options.actors,
            wait_for_resources_s=options.wait_for_resources_s,
        ),
    )


def _require_exact_masks(manifest: Manifest, splits: Sequence[Split], options: BenchmarkOptions) -> None:
    for name in dict.fromkeys(f"{p}/{split.dataset}" for p in options.proposals for split in splits):
        if name not in manifest.exact_mask_sets:
            known = ", ".join(manifest.exact_mask_sets) or "nothing"
            raise InputError(
                f"--masks exact: {options.data} has masks of the dataset's own for {known}, "
                f"not for {name}; choose --proposals gold or --masks box"
            )


def _chosen_splits(manifest: Manifest, options: BenchmarkOptions) -> tuple[Split, ...]:
    known = ", ".join(split.name for split in manifest.splits)
    for name, asked in (("datasets", options.datasets), ("splits", options.splits)):
        have = {split.dataset if name == "datasets" else split.split for split in manifest.splits}
        for value in asked:
            if value not in have:
                raise InputError(f"--{name} {value}: not in {options.data}, which has {known}")
    chosen = tuple(
        split
        for split in manifest.splits
        if split.dataset in (options.datasets or [split.dataset])
        and split.split in (options.splits or [split.split])
    )
    if not chosen:
        raise InputError(f"no split of {options.data} fits --datasets and --splits; it has {known}")
    return chosen


def _predictions(
    options: BenchmarkOptions,
    methods: Sequence[tuple[Method, tuple[Encoder, ...]]],
    segmenter: Segmenter | None,
    splits: Sequence[Split],
) -> tuple[Predictions, ...]:
    """Cross methods with their ensembles, proposal sources and seeds; a method asks only for what it uses."""
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


def _rows(text: str, masks: MaskSource) -> Sequence[Row]:
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


def _ensembles(row: Row, options: BenchmarkOptions) -> Sequence[str | None]:
    """Return what a method runs with: what was asked for, else what was published; None if it needs none."""
    if not row.method.variants:
        return [None]
    return options.encoders or [row.encoders or ENCODERS]


def _urls(options: BenchmarkOptions) -> dict[str, str | None]:
    """Return every place that the options name, by option; weights may be tags, which are no places."""
    sources = [_source(text) for e in options.encoders for text in e.split(",")]
    places = {f"--encoders {source}": source for source in sources if "/" in source}
    segmenter = _source(options.segmenter)
    if "/" in segmenter:
        places["--segmenter"] = segmenter
    return {"--data": options.data, "--out": options.out, "--artifacts": options.artifacts, **places}


def _source(model: str) -> str:
    """Return what follows the architecture; a folder has none before it, also if it is a URL."""
    _, _, source = model.partition(":")
    return model if source.startswith("//") else source or model


def _models(plan: Plan) -> tuple[list[Encoder], list[Segmenter]]:
    """Return the models that some missing part needs."""
    texts = [text.encoder for text in plan.missing_texts()]
    features = [feature for shard in plan.shards for feature in plan.missing_features(shard)]
    masks = [mask for shard in plan.shards for mask in plan.missing_masks(shard)]
    encoders = [*texts, *(feature.encoder for feature in features)]
    return list(dict.fromkeys(encoders)), list(dict.fromkeys(mask.segmenter for mask in masks))
