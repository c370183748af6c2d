"""ReCLIP's files: one jsonl a split, one detection file a dataset (rec_scoring spec sections 2.1 and 2.3)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from operators.datasets.formats.annotations import (
    AnnotatedRef,
    AnnotationError,
    BoxXYWH,
    FileRecord,
    Gold,
    GoldAnnotation,
    RefRecord,
    decode_text,
    first_problem,
    image_file_name,
    parse_json,
)
from operators.datasets.formats.folder import Folder, Found, SplitReader


class _Line(RefRecord):
    anns: list[GoldAnnotation]


class _Detection(FileRecord):
    image_id: int | str
    box: BoxXYWH = Field(validation_alias=AliasChoices("box", "bbox"))


_DETECTION_LIST = TypeAdapter(list[_Detection])
_DETECTION_DICT = TypeAdapter(dict[str, list[BoxXYWH]])


def open_folder(folder: Folder, dataset: str) -> SplitReader:
    """Return what reads the splits of a dataset from a folder with ReCLIP's jsonl files."""
    names = folder.names()

    def read(split: str) -> Found | None:
        name = split_file_name(dataset, split)
        if name not in names:
            return None
        return Found(
            list(read_split(folder.read(name), folder.place(name), dataset, split)), folder.place(name)
        )

    return read


def split_file_name(dataset: str, split: str) -> str:
    """Return the name ReCLIP gives the file of a split (`refcoco_testa.jsonl`)."""
    return f"{dataset}_{split.lower()}.jsonl"


def detections_file_name(dataset: str) -> str:
    """Return the name ReCLIP gives the detections of a dataset."""
    return f"{dataset}_dets_dict.json"


def read_split(data: bytes, name: str, dataset: str, split: str) -> Iterator[AnnotatedRef]:
    """Read one jsonl file.

    Args:
        data: the file's bytes.
        name: the file's name, for messages.
        dataset: the dataset the file belongs to.
        split: the split, in the published spelling (`testA`).

    Raises:
        AnnotationError: naming file and line.
    """
    for number, line in enumerate(decode_text(data, name).split("\n"), start=1):
        place = f"{name}:{number}"
        if not line.strip():
            continue
        try:
            record = _Line.model_validate(parse_json(line, place))
        except ValidationError as problem:
            raise AnnotationError(f"{place}: {first_problem(problem)}") from problem
        objects = Gold.of(record.anns)
        yield AnnotatedRef(
            dataset=dataset,
            split=split,
            ref_id=f"{split}-{number - 1}" if record.ref_id is None else str(record.ref_id),
            image_file=image_file_name(record.file_name),
            image_id=str(record.image_id),
            gold=objects.boxes,
            target_ids=record.target_ids(),
            sentences=tuple(sentence.sentence() for sentence in record.sentences),
            place=place,
            segmentations=objects.segmentations,
            written_name=record.file_name,
            image_size_wh=record.size_wh(),
        )


def read_detections(data: bytes, name: str) -> dict[str, list[BoxXYWH]]:
    """Read detected boxes by image id: either `{id: [[x, y, w, h], ...]}` or a list of {image_id, box}.

    Raises:
        AnnotationError: naming the file and the entry.
    """
    content = parse_json(decode_text(data, name), name)
    try:
        if isinstance(content, dict):
            return _DETECTION_DICT.validate_python(content)
        boxes: dict[str, list[BoxXYWH]] = {}
        for detection in _DETECTION_LIST.validate_python(content):
            boxes.setdefault(str(detection.image_id), []).append(detection.box)
        return boxes
    except ValidationError as problem:
        expected = "{image id: [[left, top, width, height], ...]} or a list of {image_id, box}"
        raise AnnotationError(f"{name}: {first_problem(problem)}; expected {expected}") from problem
