"""Make shards from REFER or ReCLIP annotation files and a folder of COCO images.

Example: python pipelines/prepare_refcoco.py --refer refer/data --images train2014 --out shards
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from pydantic import Field

from infra.dataset.building import BuildShard, Built, write_manifest
from infra.dataset.pictures import present_names, require_some
from infra.dataset.reading import read_all_parses, read_detections, read_references
from infra.dataset.shards import Manifest
from infra.errors import InputError
from infra.execution.executor import make_executor
from infra.execution.reachable import require_reachable
from infra.execution.stage import Stage
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import ExecutorOptions, Exit
from operators.datasets.facts import Facts, merged, outline_joins, require_boxes_inside
from operators.datasets.formats.annotations import AnnotatedRef, with_present_names
from operators.datasets.image_rows import assemble_rows, caption_banks
from operators.datasets.joins import Join, join
from operators.datasets.registry import DATASETS, Dataset, published_size
from operators.rows.registry import nearest


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
    mirror: str | None = None
    """Folder with the Parquet files of a mirror (jxu124/refcoco-benchmark); for gold proposals also
    instances.json of REFER or instances_train2014.json of COCO."""
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
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Share of expressions that may be set aside before the job ends with exit 3."""

    @classmethod
    def about(cls) -> str:
        """Return what `--help` says: the datasets that there are, each with its card."""
        cards = "\n\n".join(dataset.card() for dataset in DATASETS.all().values())
        return f"{cls.__doc__}\n\n{cards}"


def prepare(options: PrepareOptions) -> int:
    """Run the preparation and return its exit status.

    Raises:
        InputError: for folders without the files that are needed, and for unknown names.
        AnnotationError: for malformed annotation files, sources that do not meet, impossible boxes.
    """
    folders, datasets = _folders(options), _chosen(options)
    places = {f"--{layout}": folder for layout, folder in folders.items()}
    places |= {"--images": options.images, "--out": options.out}
    extra = {"--detections": options.detections, "--parses": options.parses}
    require_reachable({**places, **extra}, nodes=1, shared_filesystem=options.shared_filesystem)
    if not storage.exists(options.images):
        raise InputError(f"--images: {options.images} does not exist")

    refs, sources, joins = read_references(datasets, options.splits, folders)
    refs, pictures = _with_pictures(options.images, refs)
    named = sorted({ref.dataset for ref in refs})
    detections, detected = read_detections(named, refs, options.detections, folders)
    parses, parsed = read_all_parses(refs, options.parses, options.parser)
    joins += [*pictures, *detected, *parsed]
    rows = assemble_rows(refs, detections, parses)

    out = storage.absolute(options.out)
    storage.require_writable(out)
    groups = [rows[i : i + options.images_per_shard] for i in range(0, len(rows), options.images_per_shard)]
    items = [{"index": i, "rows": json.dumps(group)} for i, group in enumerate(groups)]
    executor = make_executor(options.executor, options.settings("cpu"))
    require_reachable({**places, **extra}, executor.nodes, options.shared_filesystem)
    stage = Stage(BuildShard, {"images": storage.absolute(options.images), "out": out})
    entries = executor.run("prepare", items, [stage], {"images read": len(rows)})
    built = sorted((Built.of(entry) for entry in entries), key=lambda b: b.shard.index)
    if [b.shard.index for b in built] != list(range(len(items))):
        print(f"incomplete: {len(built)} of {len(items)} shards were written; run the same command again")
        return Exit.INCOMPLETE

    facts = merged(b.facts for b in built)
    require_boxes_inside(facts)
    joins += outline_joins(facts)
    shards = [b.shard for b in built]
    banks = caption_banks(refs, parses)
    manifest = write_manifest(out, banks, shards, facts, options.images_per_shard, joins)
    print(_report(manifest, sources, facts))
    asked = [(d.name, split) for d in datasets for split in d.splits if split in (options.splits or [split])]
    absent = [f"{dataset}/{split}" for dataset, split in asked if (dataset, split) not in sources]
    if absent:
        print(f"no references found for {', '.join(absent)}")
    print(f"shards, banks, manifest: {out}")
    aside = sum(split.set_aside for split in facts.splits.values())
    planned = sum(split.expressions for split in facts.splits.values())
    too_many = aside > options.max_quarantined * planned
    print(f"{planned} expressions = {planned - aside} ok + {aside} set aside", flush=True)
    return Exit.QUARANTINE_ABOVE_LIMIT if too_many else Exit.COMPLETE


def _folders(options: PrepareOptions) -> dict[str, str]:
    """Return the folders of annotation files by layout."""
    given = {"refer": options.refer, "reclip": options.reclip, "mirror": options.mirror}
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


def _with_pictures(images: str, refs: list[AnnotatedRef]) -> tuple[list[AnnotatedRef], list[Join]]:
    """Settle the names of pictures by what is in the folder, before any of them is read."""
    names = {name for ref in refs for name in (ref.image_file, ref.written_name) if name}
    present = present_names(images, names)
    if present is None:
        return refs, []
    refs = with_present_names(refs, present)
    wanted = list(dict.fromkeys(ref.image_file for ref in refs))
    require_some(images, wanted, present)
    return refs, [join("pictures", "images", wanted, present & set(wanted), images)]


def _report(manifest: Manifest, sources: Mapping[tuple[str, str], str], facts: Facts) -> str:
    """Say what was read from where, how sources met, what was set aside, and how counts compare."""
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
    lines += [met.line() for met in manifest.joins]
    parsed = sum(split.parsed or 0 for split in manifest.splits)
    if any(met.what == "parses" for met in manifest.joins):
        total = sum(split.expressions for split in manifest.splits)
        lines.append(f"parses: {parsed} of {total} expressions; methods with R set the others aside")
    if facts.turned:
        lines.append(
            f"{facts.turned} pictures have an EXIF turn, which is not applied: boxes are taken in the "
            "orientation in which the picture is stored"
        )
    images = sum(shard.images for shard in manifest.shards)
    aside = sum(shard.quarantined_images for shard in manifest.shards)
    lines.append(f"{images} images in {len(manifest.shards)} shards, {aside} images set aside")
    lines += [reason.line() for reason in manifest.reasons]
    lines.append(f"proposal sets: {', '.join(manifest.proposal_sets)}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(PrepareOptions, prepare, argv)


if __name__ == "__main__":
    sys.exit(main())
