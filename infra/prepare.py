"""The preparation job: annotation files and images to shards, a manifest and caption banks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra import storage
from infra.dataset.building import BuildShard, exact_mask_sets, proposal_sets, write_splits
from infra.errors import InputError
from infra.execution.settings import Settings
from infra.executor import Stage, make_executor
from infra.options import Exit, PrepareOptions
from infra.reach import require_reachable
from infra.shards import FORMAT, MANIFEST, Manifest, Shard
from operators.datasets.formats import reclip, refer
from operators.datasets.formats.annotations import AnnotatedRef, Gold
from operators.datasets.formats.parses import MissingParser, Parses, find_parse, parse_with_spacy, read_parses
from operators.datasets.image_rows import assemble_rows, caption_banks
from operators.datasets.splits import PUBLISHED, REFER_PICKLE

INSTANCES = "instances.json"


def prepare(options: PrepareOptions) -> int:
    """Run the preparation and return its exit status.

    Raises:
        InputError: for folders without the files that are needed.
        AnnotationError: for malformed annotation files.
    """
    places = {"--images": options.images, "--out": options.out, "--refer": options.refer}
    places |= {"--reclip": options.reclip, "--detections": options.detections, "--parses": options.parses}
    require_reachable(places, nodes=1, shared_filesystem=options.shared_filesystem)
    if not storage.exists(options.images):
        raise InputError(f"--images: {options.images} does not exist")
    refs, sources = _read_refs(options)
    detections = _read_detections(options, sorted({ref.dataset for ref in refs}))
    parses = _parses(options, refs)
    rows = assemble_rows(refs, detections, parses)
    images, out = storage.absolute(options.images), storage.absolute(options.out)
    storage.require_writable(out)
    groups = [rows[i : i + options.images_per_shard] for i in range(0, len(rows), options.images_per_shard)]
    items = [{"index": i, "rows": json.dumps(group)} for i, group in enumerate(groups)]
    executor = make_executor(options.executor, Settings(device="cpu", threads=options.threads))
    require_reachable(places, executor.nodes, options.shared_filesystem)
    stage = Stage(BuildShard, {"images": images, "out": out})
    entries = executor.run("prepare", items, [stage], {"images read": len(rows)})
    shards = sorted((Shard.model_validate_json(e["shard"]) for e in entries), key=lambda s: s.index)
    if [shard.index for shard in shards] != list(range(len(items))):
        print(f"incomplete: {len(shards)} of {len(items)} shards were written; run the same command again")
        return Exit.INCOMPLETE
    manifest = Manifest(
        format=FORMAT,
        images_per_shard=options.images_per_shard,
        proposal_sets=proposal_sets(rows),
        exact_mask_sets=exact_mask_sets(rows),
        splits=write_splits(out, caption_banks(refs, parses), rows),
        shards=shards,
    )
    storage.write_bytes(storage.join(out, MANIFEST), manifest.model_dump_json(indent=1).encode())
    print(_report(manifest, sources))
    if options.parser or options.parses:
        print(_parse_report(refs, parses))
    wanted = [(d, s) for d in PUBLISHED if d in options.datasets for s in PUBLISHED[d] if s in options.splits]
    absent = [f"{dataset}/{split}" for dataset, split in wanted if (dataset, split) not in sources]
    if absent:
        print(f"no references found for {', '.join(absent)}")
    print(f"shards, banks, manifest: {out}")
    return Exit.COMPLETE


def _read_refs(options: PrepareOptions) -> tuple[list[AnnotatedRef], dict[tuple[str, str], str]]:
    """Read every split that some folder has, datasets and splits in the published order."""
    refs: list[AnnotatedRef] = []
    sources: dict[tuple[str, str], str] = {}
    for dataset in (d for d in PUBLISHED if d in options.datasets):
        folder = _refer_folder(options.refer, dataset) if options.refer else None
        gold: dict[str, Gold] | None = None
        for split in (s for s in PUBLISHED[dataset] if s in options.splits):
            url = storage.join(options.reclip or "", reclip.split_file_name(dataset, split))
            if options.reclip and storage.exists(url):
                found = list(reclip.read_split(storage.read_bytes(url), url, dataset, split))
            elif folder:
                url = storage.join(folder, REFER_PICKLE[dataset])
                instances = storage.join(folder, INSTANCES)
                gold = (
                    gold
                    if gold is not None
                    else refer.read_instances(storage.read_bytes(instances), instances)
                )
                found = list(refer.read_split(storage.read_bytes(url), url, gold, dataset, split))
            else:
                continue
            if found:
                refs += found
                sources[dataset, split] = url
    if not refs:
        raise InputError(
            f"no references of {', '.join(options.datasets)} found; --refer needs <dataset>/{INSTANCES} and "
            f"<dataset>/refs(...).p, --reclip needs files like {reclip.split_file_name('refcoco', 'testA')}"
        )
    return refs, sources


def _refer_folder(root: str, dataset: str) -> str | None:
    """Return the folder with a dataset's REFER files: its own below `root`, or `root` itself."""
    for folder in (storage.join(root, dataset), root):
        names = storage.list_names(folder)
        if {INSTANCES, REFER_PICKLE[dataset]} <= names:
            # A flat folder does not say whose files it holds; the unc pickle is then RefCOCO's.
            return folder if folder != root or dataset != "refcoco+" else None
    return None


def _read_detections(options: PrepareOptions, datasets: list[str]) -> Mapping[str, Any]:
    detections = {}
    folders = [options.detections] if options.detections else [options.reclip, options.refer]
    for dataset in datasets:
        places = [f for folder in filter(None, folders) for f in (folder, storage.join(folder, dataset))]
        urls = [storage.join(place, reclip.detections_file_name(dataset)) for place in places]
        found = next((url for url in urls if storage.exists(url)), None)
        if found:
            detections[dataset] = reclip.read_detections(storage.read_bytes(found), found)
        elif options.detections:
            raise InputError(f"{urls[0]} does not exist")
    return detections


def _parses(options: PrepareOptions, refs: list[AnnotatedRef]) -> Parses:
    """Read the parse file and let the parser fill in what it lacks."""
    given: Parses = {}
    if options.parses:
        if not storage.exists(options.parses):
            raise InputError(f"--parses: {options.parses} does not exist")
        given = read_parses(storage.read_bytes(options.parses), options.parses)
    if not options.parser:
        return given
    texts = [(d, t) for d, t in _expressions(refs) if find_parse(given, d, t) is None]
    try:
        return {**parse_with_spacy(texts, options.parser), **given}
    except MissingParser as problem:
        raise InputError(str(problem)) from problem


def _expressions(refs: list[AnnotatedRef]) -> list[tuple[str, str]]:
    return [(ref.dataset, sentence.raw) for ref in refs for sentence in ref.sentences]


def _parse_report(refs: list[AnnotatedRef], parses: Parses) -> str:
    texts = _expressions(refs)
    lacking = [text for dataset, text in texts if find_parse(parses, dataset, text) is None]
    if not lacking:
        return f"parses: all {len(texts)} expressions"
    return (
        f"parses: {len(texts) - len(lacking)} of {len(texts)} expressions; methods with R set the others "
        f"aside, such as {lacking[0][:60]!r}"
    )


def _report(manifest: Manifest, sources: Mapping[tuple[str, str], str]) -> str:
    """Say what was read from where, and how the counts compare with the published splits."""
    lines = []
    for split in manifest.splits:
        counts = (split.images, split.refs, split.expressions)
        published = PUBLISHED[split.dataset][split.split]
        verdict = "as published" if counts == published else f"published: {'/'.join(map(str, published))}"
        lines.append(
            f"{split.name}: {'/'.join(map(str, counts))} images/refs/expressions ({verdict}), "
            f"from {sources[split.dataset, split.split]}"
        )
    images = sum(shard.images for shard in manifest.shards)
    aside = sum(shard.quarantined_images for shard in manifest.shards)
    lines.append(f"{images} images in {len(manifest.shards)} shards, {aside} images set aside")
    lines.append(f"proposal sets: {', '.join(manifest.proposal_sets)}")
    return "\n".join(lines)
