"""The Parquet layout in which RefCOCO is mirrored today: one row an image, REFER's fields in it.

As `jxu124/refcoco-benchmark` on the Hugging Face hub has it: files `<dataset>_<by>_<split>-*.parquet` with
`ref_list` (of `ref_info`, a reference of REFER's pickle, and `ann_info`, the annotation of its target) and
`image_info`. Pictures lie in the same files; they are not read.

Only targets are annotated there. What else lies in the picture, which gold proposals need, comes from
`instances.json` of REFER or `instances_train2014.json` of COCO beside the files; without one there are no
gold proposals.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from operators.datasets.formats.annotations import (
    AnnotatedRef,
    AnnotationError,
    FileRecord,
    Gold,
    GoldAnnotation,
    RefRecord,
    first_problem,
    image_file_name,
)
from operators.datasets.formats.folder import Folder, Found, Layout, SplitReader
from operators.datasets.formats.refer import INSTANCES, NOTHING, belongs_to_split, read_instances

COCO_INSTANCES = "instances_train2014.json"
COLUMNS = ("ref_list", "image_info")


class _RefInfo(RefRecord):
    split: str


class _Item(FileRecord):
    ref_info: _RefInfo
    ann_info: GoldAnnotation


class _ImageInfo(FileRecord):
    width: int
    height: int


class _Row(FileRecord):
    ref_list: list[_Item]
    image_info: _ImageInfo


def layout(prefix: str) -> Layout:
    """Return how a dataset is read from a folder of the mirror, or from its folder `data`.

    Args:
        prefix: of the dataset's file names, before the split (`refcoco_unc_`).
    """

    def open_folder(folder: Folder, dataset: str) -> SplitReader:
        places = [folder.below("data"), folder]
        gold: dict[str, Gold] = {}

        def read(split: str) -> Found | None:
            for place in places:
                names = sorted(n for n in place.names() if _is_of(n, f"{prefix}{split}"))
                if names:
                    refs = [
                        ref for n in names for ref in _refs(place.read(n), place.place(n), dataset, split)
                    ]
                    return Found(_with_gold(refs, gold or _find_gold(gold, [*places])), place.place(names[0]))
            return None

        return read

    return open_folder


def _is_of(name: str, stem: str) -> bool:
    return name.endswith(".parquet") and (name == f"{stem}.parquet" or name.startswith(f"{stem}-"))


def _refs(data: bytes, name: str, dataset: str, split: str) -> Iterator[AnnotatedRef]:
    """Yield the references of a file, with the targets as the only annotations."""
    try:
        rows = pq.read_table(io.BytesIO(data), columns=list(COLUMNS)).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise AnnotationError(
            f"{name}: not a Parquet file with {' and '.join(COLUMNS)}: {problem}"
        ) from problem
    for index, content in enumerate(rows):
        place = f"{name}[{index}]"
        try:
            row = _Row.model_validate(content)
        except ValidationError as problem:
            raise AnnotationError(f"{place}: {first_problem(problem)}") from problem
        for item in row.ref_list:
            if not belongs_to_split(item.ref_info.split, split):
                raise AnnotationError(
                    f"{place}: a reference of split {item.ref_info.split!r} in a file of {split}"
                )
            yield _ref(item, row.image_info, dataset, split, place)


def _ref(item: _Item, image: _ImageInfo, dataset: str, split: str, place: str) -> AnnotatedRef:
    ref, target = item.ref_info, Gold.of([item.ann_info], (image.width, image.height))
    return AnnotatedRef(
        dataset=dataset,
        split=split,
        ref_id=place if ref.ref_id is None else str(ref.ref_id),
        image_file=image_file_name(ref.file_name),
        image_id=str(ref.image_id),
        gold=target.boxes,
        target_ids=ref.target_ids(),
        sentences=tuple(sentence.sentence() for sentence in ref.sentences),
        place=place,
        segmentations=target.segmentations,
        written_name=ref.file_name,
        image_size_wh=target.size_wh,
        gold_is_whole=False,
    )


def _find_gold(gold: dict[str, Gold], places: Sequence[Folder]) -> dict[str, Gold]:
    """Read the annotations of all objects, if some place has them."""
    for place in places:
        for name in (INSTANCES, COCO_INSTANCES):
            if name in place.names():
                gold.update(read_instances(place.read(name), place.place(name)))
                return gold
    return gold


def _with_gold(refs: Sequence[AnnotatedRef], gold: Mapping[str, Gold]) -> list[AnnotatedRef]:
    if not gold:
        return list(refs)
    found: list[AnnotatedRef] = []
    for ref in refs:
        objects = gold.get(ref.image_id, NOTHING)
        settled: dict[str, Any] = {"gold": objects.boxes, "segmentations": objects.segmentations}
        found.append(replace(ref, **settled, gold_is_whole=True))
    return found
