"""Make shards from REFER or ReCLIP annotation files and a folder of COCO images.

Example: python pipelines/prepare_refcoco.py --refer refer/data --images train2014 --out shards
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.dataset.building import BuildShard, write_manifest
from infra.dataset.shards import Manifest, Shard
from infra.errors import InputError
from infra.execution.executor import make_executor
from infra.execution.reachable import require_reachable
from infra.execution.settings import Settings
from infra.execution.stage import Stage
from infra.files import storage
from infra.files.folder import StoredFolder
from infra.run.command_line import run_job
from infra.run.options import ExecutorOptions, Exit
from operators.datasets.formats import reclip
from operators.datasets.formats.annotations import AnnotatedRef
from operators.datasets.formats.folder import Found
from operators.datasets.formats.parses import MissingParser, Parses, find_parse, parse_with_spacy, read_parses
from operators.datasets.image_rows import assemble_rows, caption_banks
from operators.datasets.registry import DATASETS, Dataset, published_size
from operators.rows.registry import nearest

Sources = dict[tuple[str, str], str]


class PrepareOptions(ExecutorOptions):
    """Make shards, a manifest and caption banks from annotation files and a folder of images."""

    images: str
    """Folder of the pictures (COCO train2014)."""
    out: str
    """Folder for the shards; any fsspec URL."""
    refer: str | None = None
    """Folder with REFER's files: refcoco/, refcoco+/, refcocog/, or the files of one dataset."""
    reclip: str | None = None
    """Folder with ReCLIP's jsonl files; a split found here is not read from REFER's files."""
    source: tuple[str, ...] = ()
    """Folders of other layouts as LAYOUT=FOLDER; the cards below name the layouts of every dataset."""
    detections: str | None = None
    """Folder with <dataset>_dets_dict.json; by default the folders above are looked into."""
    datasets: tuple[str, ...] = ()
    """Names of the cards below; all of them by default."""
    splits: tuple[str, ...] = ()
    """Splits to prepare; by default all that the cards name."""
    parser: str | None = None
    """spaCy pipeline that parses the expressions for R (en_core_web_sm); by default they are not parsed."""
    parses: str | None = None
    """File with parses (JSON lines or Parquet, see operators.datasets.formats.parses); wins over --parser."""
    images_per_shard: Annotated[int, Field(ge=1)] = 32

    @classmethod
    def about(cls) -> str:
        """Return what `--help` says: the datasets that there are, each with its card."""
        cards = "\n\n".join(dataset.card() for dataset in DATASETS.all().values())
        return f"{cls.__doc__}\n\n{cards}"


def prepare(options: PrepareOptions) -> int:
    """Run the preparation and return its exit status.

    Raises:
        InputError: for folders without the files that are needed, and for unknown names.
        AnnotationError: for malformed annotation files.
    """
    folders = _folders(options)
    places = {f"--{layout}": folder for layout, folder in folders.items()}
    places |= {"--images": options.images, "--out": options.out}
    extra = {"--detections": options.detections, "--parses": options.parses}
    require_reachable({**places, **extra}, nodes=1, shared_filesystem=options.shared_filesystem)
    if not storage.exists(options.images):
        raise InputError(f"--images: {options.images} does not exist")

    datasets = _chosen(options)
    refs, sources = _read_refs(options, datasets, folders)
    detections = _read_detections(options, folders, sorted({ref.dataset for ref in refs}))
    parses = _parses(options, refs)
    rows = assemble_rows(refs, detections, parses)

    out = storage.absolute(options.out)
    storage.require_writable(out)
    groups = [rows[i : i + options.images_per_shard] for i in range(0, len(rows), options.images_per_shard)]
    items = [{"index": i, "rows": json.dumps(group)} for i, group in enumerate(groups)]
    executor = make_executor(options.executor, Settings(device="cpu", threads=options.threads))
    require_reachable({**places, **extra}, executor.nodes, options.shared_filesystem)
    stage = Stage(BuildShard, {"images": storage.absolute(options.images), "out": out})
    entries = executor.run("prepare", items, [stage], {"images read": len(rows)})
    shards = sorted((Shard.model_validate_json(e["shard"]) for e in entries), key=lambda s: s.index)
    if [shard.index for shard in shards] != list(range(len(items))):
        print(f"incomplete: {len(shards)} of {len(items)} shards were written; run the same command again")
        return Exit.INCOMPLETE

    manifest = write_manifest(out, rows, caption_banks(refs, parses), shards, options.images_per_shard)
    print(_report(manifest, sources))
    if options.parser or options.parses:
        print(_parse_report(refs, parses))
    asked = [(d.name, split) for d in datasets for split in d.splits if _wants(options, split)]
    absent = [f"{dataset}/{split}" for dataset, split in asked if (dataset, split) not in sources]
    if absent:
        print(f"no references found for {', '.join(absent)}")
    print(f"shards, banks, manifest: {out}")
    return Exit.COMPLETE


def _folders(options: PrepareOptions) -> dict[str, str]:
    """Return the folders of annotation files by layout."""
    given = {"refer": options.refer, "reclip": options.reclip}
    for text in options.source:
        layout, equals, folder = text.partition("=")
        if not equals or not folder:
            raise InputError(f"--source {text}: write LAYOUT=FOLDER")
        given[layout] = folder
    return {layout: folder for layout, folder in given.items() if folder}


def _chosen(options: PrepareOptions) -> list[Dataset]:
    """Return the datasets that were asked for, in the order of their cards."""
    known = DATASETS.all()
    for name in options.datasets:
        if name not in known:
            raise InputError(f"--datasets {name}: unknown; nearest: {nearest(name, known)}")
    datasets = [d for d in known.values() if d.name in (options.datasets or known)]
    splits = dict.fromkeys(split for dataset in datasets for split in dataset.splits)
    for name in options.splits:
        if name not in splits:
            names = ", ".join(dataset.name for dataset in datasets)
            raise InputError(f"--splits {name}: not in {names}; they have {', '.join(splits)}")
    return datasets


def _wants(options: PrepareOptions, split: str) -> bool:
    return split in (options.splits or [split])


def _read_refs(
    options: PrepareOptions, datasets: Sequence[Dataset], folders: Mapping[str, str]
) -> tuple[list[AnnotatedRef], Sources]:
    """Read every split that some folder has, datasets and splits in the published order."""
    refs: list[AnnotatedRef] = []
    sources: Sources = {}
    for dataset in datasets:
        readers = [
            open_folder(StoredFolder(folders[layout]), dataset.name)
            for layout, open_folder in dataset.layouts.items()
            if layout in folders
        ]
        for split in filter(lambda split: _wants(options, split), dataset.splits):
            found = next((found for read in readers if (found := read(split))), Found([], ""))
            if found.refs:
                refs += found.refs
                sources[dataset.name, split] = found.url
    if not refs:
        raise InputError(
            f"no references of {', '.join(dataset.name for dataset in datasets)} found; --refer needs "
            "<dataset>/instances.json and <dataset>/refs(...).p, --reclip needs files like "
            f"{reclip.split_file_name('refcoco', 'testA')}"
        )
    return refs, sources


def _read_detections(
    options: PrepareOptions, folders: Mapping[str, str], datasets: list[str]
) -> Mapping[str, Any]:
    detections = {}
    looked = [options.detections] if options.detections else [folders.get("reclip"), folders.get("refer")]
    for dataset in datasets:
        places = [f for folder in filter(None, looked) for f in (folder, storage.join(folder, dataset))]
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


def _report(manifest: Manifest, sources: Sources) -> str:
    """Say what was read from where, and how the counts compare with the published splits."""
    lines = []
    for split in manifest.splits:
        counts = (split.images, split.refs, split.expressions)
        published = published_size(split.dataset, split.split)
        verdict = "no published size"
        if published:
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(PrepareOptions, prepare, argv)


if __name__ == "__main__":
    sys.exit(main())
