"""The benchmark job: plan, make what is missing, recount from the files, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infra import storage
from infra.artifacts import ArtifactStore
from infra.checkpoint_check import check_weights
from infra.executor import Executor, Stage, make_executor
from infra.options import BenchmarkOptions, Exit
from infra.plan import Plan, Settings, choose_shards, describe, totals
from infra.provenance import provenance, utc_now
from infra.shards import InputError, Manifest, Split, read_manifest
from infra.stages import (
    EncodeTexts,
    EncodeWithClip,
    ReadShard,
    ScoreExpressions,
    SegmentWithSam,
    text_encoders,
)
from infra.weights import resolve_encoder, resolve_segmenter
from operators.catalog import Encoder, MaskSource, Method, Segmenter, find_method
from operators.fingerprint import fingerprint
from operators.metrics import count_predictions
from operators.products import Predictions
from operators.tables import Result, csv_table, group_seeds, markdown_table


def benchmark(options: BenchmarkOptions) -> int:
    """Run the benchmark and return its exit status (`infra.options.Exit`).

    Raises:
        InputError: for anything in the options or the prepared data that cannot be used.
    """
    plan = make_plan(options)
    started = utc_now()
    text = describe(plan)
    print(text, flush=True)
    if options.plan:
        return Exit.COMPLETE
    counts: dict[str, int] = {}
    if plan.pending_shards():
        check_weights(*_models(plan))
        executor = make_executor(options.executor, plan.settings)
        _make_missing(replace(plan, settings=executor.settings), executor)
        counts = executor.counts
        plan = replace(plan, store=ArtifactStore(plan.store.root))  # look at the files afresh
    status, results, ledger = recount(plan, options.max_quarantined)
    tables = _tables(plan, results) if status != Exit.INCOMPLETE else {}
    record = {
        "started": started.isoformat(),
        "finished": utc_now().isoformat(),
        "exit": int(status),
        "options": options.model_dump(mode="json"),
        "products": [p.folder for p in plan.predictions],
        "weights": {m.name: m.weights.model_dump() for p in plan.predictions for m in p.models},
        "ledger": ledger,
        "counts": counts,
        **provenance(),
    }
    folder = _write_run(options.out, plan, record, {**tables, "plan.txt": text + "\n"})
    _say_what_was_written(status, tables, ledger, counts, folder, plan)
    return status


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
    methods = [_method(text, options.masks) for text in options.methods]
    segmenter = None
    if any(v.mask_source == "box" for method in methods for v in method.variants):
        segmenter = resolve_segmenter(options.segmenter, options.dtype)
    ensembles = [
        tuple(resolve_encoder(e, options.dtype) for e in text.split(",")) for text in options.encoders
    ]
    artifacts = options.artifacts or storage.join(options.out, "artifacts")
    return Plan(
        data=storage.absolute(options.data),
        store=ArtifactStore(storage.absolute(artifacts)),
        shards=choose_shards(manifest, splits, options.limit),
        splits=splits,
        predictions=_predictions(options, methods, ensembles, segmenter, splits),
        settings=Settings(device=options.device, threads=options.threads, actors=options.actors),
    )


def recount(plan: Plan, max_quarantined: float) -> tuple[Exit, list[Result], dict[str, Any]]:
    """Count every planned expression in the files and compare with the manifest.

    Returns:
        The exit status, the table's lines (empty if incomplete) and the ledger by product folder.
    """
    planned = plan.planned_expressions()
    results, ledger, quarantined = [], {}, 0
    for product in plan.predictions:
        absent = [s.name for s in plan.shards if not plan.store.has(plan.address(product, s))]
        if absent:
            ledger[product.folder] = {"missing_shards": absent}
            continue
        counts = count_predictions(plan.store.get(plan.address(product, s)) for s in plan.shards)
        found = {split: counts[split].total if split in counts else 0 for split in planned}
        entry: dict[str, Any] = {"planned": sum(planned.values()), "ok": sum(c.ok for c in counts.values())}
        entry["quarantined"] = sum(c.quarantined for c in counts.values())
        if found != planned:
            entry["miscounted"] = {"/".join(s): [planned[s], n] for s, n in found.items() if n != planned[s]}
        ledger[product.folder] = entry
        quarantined += entry["quarantined"]
        results.append((product, counts))
    if any("missing_shards" in entry or "miscounted" in entry for entry in ledger.values()):
        return Exit.INCOMPLETE, [], ledger
    total = sum(planned.values()) * len(plan.predictions)
    too_many = quarantined > max_quarantined * total
    return (Exit.QUARANTINE_ABOVE_LIMIT if too_many else Exit.COMPLETE), group_seeds(results), ledger


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
    methods: Sequence[Method],
    ensembles: Sequence[tuple[Encoder, ...]],
    segmenter: Segmenter | None,
    splits: Sequence[Split],
) -> tuple[Predictions, ...]:
    """Cross methods, ensembles, proposal sources and seeds; a method asks only for what it uses."""
    names = tuple((split.dataset, split.split, split.bank_digest) for split in splits)
    products = [
        Predictions(
            method=method.with_seed(seed),
            encoders=encoders,
            proposals=proposals,
            segmenter=segmenter if any(v.mask_source == "box" for v in method.variants) else None,
            splits=names,
        )
        for method in methods
        for encoders in (ensembles if method.variants else [()])
        for proposals in options.proposals
        for seed in options.seeds
    ]
    return tuple(dict.fromkeys(products))


def _method(text: str, masks: MaskSource) -> Method:
    try:
        return find_method(text, masks)
    except ValueError as problem:
        raise InputError(f"--methods: {problem}") from problem


def _make_missing(plan: Plan, executor: Executor) -> None:
    """Encode the texts that are needed, then stream the shards through the stages whose parts are missing."""
    arguments = {"plan": plan}
    encoders = text_encoders(plan)
    wanted = {part.encoder for part in plan.missing_texts()}
    items = [{"encoder": i} for i, encoder in enumerate(encoders) if encoder in wanted]
    if items:
        stage = Stage(EncodeTexts, arguments, size="model")
        banks = sum(plan.banks[t.dataset, t.split].expressions for t in plan.missing_texts())
        list(executor.run("texts", items, [stage], {"texts encoded": banks}))
    pending = plan.pending_shards()
    stages = [Stage(ReadShard, arguments)]
    if any(plan.missing_masks(shard) for shard in pending):
        stages.append(Stage(SegmentWithSam, arguments, size="model"))
    if any(plan.missing_features(shard) for shard in pending):
        stages.append(Stage(EncodeWithClip, arguments, size="model"))
    stages.append(Stage(ScoreExpressions, arguments, size="light"))
    list(executor.run("images", [{"shard_index": s.index} for s in pending], stages, totals(plan)))


def _models(plan: Plan) -> tuple[list[Encoder], list[Segmenter]]:
    """Return the models that some missing part needs."""
    texts = [text.encoder for text in plan.missing_texts()]
    features = [feature for shard in plan.shards for feature in plan.missing_features(shard)]
    masks = [mask for shard in plan.shards for mask in plan.missing_masks(shard)]
    encoders = [*texts, *(feature.encoder for feature in features)]
    return list(dict.fromkeys(encoders)), list(dict.fromkeys(mask.segmenter for mask in masks))


def _tables(plan: Plan, results: list[Result]) -> dict[str, str]:
    splits = list(plan.banks)
    return {
        "tables/accuracy.md": markdown_table(results, splits),
        "tables/accuracy.csv": csv_table(results, splits),
    }


def _write_run(out: str, plan: Plan, record: dict[str, Any], files: dict[str, str]) -> str:
    """Write the run's own folder, created once and never overwritten; returns it."""
    stamp = utc_now().strftime("%Y%m%dT%H%M%S.%fZ")
    digest = fingerprint([sorted(p.folder for p in plan.predictions), [s.row_digest for s in plan.shards]])
    folder = storage.join(storage.absolute(out), "runs", f"{stamp}-{digest}")
    for name, text in files.items():
        storage.create_bytes(storage.join(folder, name), text.encode())
    storage.create_bytes(storage.join(folder, "run.json"), json.dumps(record, indent=1).encode())
    return folder


def _say_what_was_written(
    status: Exit,
    tables: dict[str, str],
    ledger: dict[str, Any],
    counts: dict[str, int],
    folder: str,
    plan: Plan,
) -> None:
    if tables:
        print("\n" + tables["tables/accuracy.md"])
    for name, entry in ledger.items():
        if "missing_shards" in entry or "miscounted" in entry:
            print(f"incomplete: {name}: {json.dumps(entry)}; the same command goes on from here")
    done = ", ".join(f"{count} {event}" for event, count in sorted(counts.items())) or "nothing"
    planned = sum(entry.get("planned", 0) for entry in ledger.values())
    ok = sum(entry.get("ok", 0) for entry in ledger.values())
    aside = sum(entry.get("quarantined", 0) for entry in ledger.values())
    print(f"computed in this run: {done}")
    print(f"recounted from the files: {planned} planned = {ok} ok + {aside} set aside")
    print(f"tables, run.json: {folder}")
    print(f"features, predictions: {plan.store.root}")
    print(f"exit {int(status)} ({status.name.lower().replace('_', ' ')})", flush=True)
