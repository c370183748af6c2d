"""Reading annotation files of several sources: references, detections, parses, and how they met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.errors import InputError
from infra.files import storage
from infra.files.folder import StoredFolder
from operators.datasets.formats import reclip
from operators.datasets.formats.annotations import AnnotatedRef, AnnotationError, BoxXYWH
from operators.datasets.formats.folder import Found
from operators.datasets.formats.parses import MissingParser, Parses, find_parse, parse_with_spacy, read_parses
from operators.datasets.joins import Join, join
from operators.datasets.registry import Dataset

Sources = dict[tuple[str, str], str]
Detections = dict[str, dict[str, list[BoxXYWH]]]


class References(NamedTuple):
    """References of all splits that were found, the file of each split, and how targets met annotations."""

    refs: list[AnnotatedRef]
    sources: Sources
    joins: list[Join]


def read_references(
    datasets: Sequence[Dataset], splits: Sequence[str], folders: Mapping[str, str]
) -> References:
    """Read every split that some folder has, datasets and splits in the published order.

    Args:
        datasets: to look for.
        splits: names; all if empty.
        folders: by layout.

    Raises:
        InputError: if there are none, with where was looked.
        AnnotationError: for a malformed file, or references none of whose targets is annotated.
    """
    refs: list[AnnotatedRef] = []
    sources: Sources = {}
    joins = []
    for dataset in datasets:
        readers = [
            open_folder(StoredFolder(folders[layout]), dataset.name)
            for layout, open_folder in dataset.layouts.items()
            if layout in folders
        ]
        for split in (split for split in dataset.splits if split in (splits or [split])):
            found = next((found for read in readers if (found := read(split))), Found([], ""))
            if found.refs:
                refs += found.refs
                sources[dataset.name, split] = found.url
                joins.append(_targets(dataset.name, split, found))
    if not refs:
        raise InputError(_nothing_found(datasets, folders))
    return References(refs, sources, joins)


def read_detections(
    datasets: Sequence[str], refs: Sequence[AnnotatedRef], chosen: str | None, folders: Mapping[str, str]
) -> tuple[Detections, list[Join]]:
    """Read the detections of some datasets.

    Args:
        datasets: names.
        refs: of all datasets; their image ids are the keys of detections.
        chosen: folder that must have them; else the others may.
        folders: by layout.

    Raises:
        InputError: if the chosen folder lacks a file.
        AnnotationError: for a malformed file, or one whose keys match no picture.
    """
    detections: Detections = {}
    joins = []
    looked = [chosen] if chosen else [folders.get("reclip"), folders.get("refer")]
    for dataset in datasets:
        places = [f for folder in filter(None, looked) for f in (folder, storage.join(folder, dataset))]
        urls = [storage.join(place, reclip.detections_file_name(dataset)) for place in places]
        url = next((url for url in urls if storage.exists(url)), None)
        if url:
            boxes = reclip.read_detections(storage.read_bytes(url), url)
            images = [ref.image_id for ref in refs if ref.dataset == dataset]
            joins.append(join(f"detections/{dataset}", "images", images, boxes, url))
            detections[dataset] = boxes
        elif chosen:
            raise InputError(f"{urls[0]} does not exist")
    return detections, joins


def read_all_parses(
    refs: Sequence[AnnotatedRef], file: str | None, pipeline: str | None
) -> tuple[Parses, list[Join]]:
    """Read a parse file, and let a spaCy pipeline fill in what it lacks.

    Raises:
        InputError: if the file or the parser is not there.
        AnnotationError: for a malformed file, or one in which no expression is found.
    """
    given: Parses = {}
    texts = [(ref.dataset, sentence.raw) for ref in refs for sentence in ref.sentences]
    if file:
        if not storage.exists(file):
            raise InputError(f"--parses: {file} does not exist")
        given = read_parses(storage.read_bytes(file), file)
    parses = given
    if pipeline:
        lacking = [(d, t) for d, t in texts if find_parse(given, d, t) is None]
        try:
            parses = {**parse_with_spacy(lacking, pipeline), **given}
        except MissingParser as problem:
            raise InputError(str(problem)) from problem
    if not file and not pipeline:
        return parses, []
    held = {(d, t) for d, t in texts if find_parse(parses, d, t) is not None}
    met = join(
        "parses",
        "distinct expressions",
        [f"{d}: {t}" for d, t in texts],
        {f"{d}: {t}" for d, t in held} or {t: 0 for _, t in parses},
        file or f"the pipeline {pipeline}",
    )
    return parses, [met]


def _targets(dataset: str, split: str, found: Found) -> Join:
    """Match references with annotations of the picture that have their target's id."""
    known = {ref.ref_id for ref in found.refs if {name for name, _ in ref.gold} & set(ref.target_ids)}
    refs = [ref.ref_id for ref in found.refs]
    try:
        return join(f"annotations/{dataset} {split}", "references", refs, known, found.url)
    except AnnotationError as problem:
        ref = found.refs[0]
        annotated = ", ".join(name for name, _ in ref.gold[:3]) or "none at all"
        raise AnnotationError(
            f"{found.url}: no reference has an annotation with its target's id; {ref.place} asks for "
            f"{', '.join(ref.target_ids)}, its picture {ref.image_id} has annotations {annotated}"
        ) from problem


def _nothing_found(datasets: Sequence[Dataset], folders: Mapping[str, str]) -> str:
    """Say where was looked, and what is there instead."""
    names = ", ".join(dataset.name for dataset in datasets)
    told = [f"no references of {names} found"]
    for layout, folder in folders.items():
        looked = [storage.join(folder, dataset.name) for dataset in datasets]
        held = {place: sorted(storage.list_names(place)) for place in (folder, *looked)}
        shown = [f"{place} has {', '.join(names[:6])}" for place, names in held.items() if names]
        told.append(f"--{layout} {folder}: {'; '.join(shown) or 'it is empty or does not exist'}")
    told.append(
        "--refer needs <dataset>/instances.json and <dataset>/refs(unc).p (refcocog: refs(umd).p; the google "
        f"split is another one), --reclip files like {reclip.split_file_name('refcoco', 'testA')}"
    )
    return "; ".join(told)
