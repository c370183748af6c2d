"""REFER's files: a pickle of references and COCO-style instances (rec_scoring spec section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import TypeAdapter, ValidationError

from operators.datasets.formats.annotations import (
    AnnotatedRef,
    AnnotationError,
    FileRecord,
    Gold,
    GoldAnnotation,
    RefRecord,
    decode_text,
    first_problem,
    image_file_name,
    parse_json,
)
from operators.datasets.formats.restricted_pickle import PickleRefused, load_plain_pickle
from operators.datasets.splits import belongs_to_split


class _Instances(FileRecord):
    annotations: list[GoldAnnotation]


class _Ref(RefRecord):
    split: str


_REFS = TypeAdapter(list[_Ref])
NOTHING = Gold()


def read_instances(data: bytes, name: str) -> dict[str, Gold]:
    """Return the annotated objects by image id, in file order.

    Raises:
        AnnotationError: naming the file and the entry.
    """
    try:
        instances = _Instances.model_validate(parse_json(decode_text(data, name), name))
    except ValidationError as problem:
        raise AnnotationError(f"{name}: {first_problem(problem)}") from problem
    found: dict[str, list[GoldAnnotation]] = {}
    for annotation in instances.annotations:
        if annotation.image_id is None:
            raise AnnotationError(f"{name}: annotation {annotation.id} has no image_id")
        found.setdefault(str(annotation.image_id), []).append(annotation)
    return {image_id: Gold.of(annotations) for image_id, annotations in found.items()}


def read_split(
    data: bytes, name: str, gold: Mapping[str, Gold], dataset: str, split: str
) -> Iterator[AnnotatedRef]:
    """Read the references of one split from a REFER pickle.

    Args:
        data: the pickle's bytes; nothing in it is executed.
        name: the file's name, for messages.
        gold: result of `read_instances`.
        dataset: the dataset the file belongs to.
        split: the split, in the published spelling.

    Raises:
        AnnotationError: for a pickle that is not plain data, or a malformed reference.
    """
    try:
        refs = _REFS.validate_python(load_plain_pickle(data))
    except PickleRefused as problem:
        raise AnnotationError(f"{name}: refused: {problem}") from problem
    except ValidationError as problem:
        raise AnnotationError(f"{name}: {first_problem(problem)}") from problem
    for index, ref in enumerate(refs):
        if belongs_to_split(ref.split, split):
            objects = gold.get(str(ref.image_id), NOTHING)
            yield AnnotatedRef(
                dataset=dataset,
                split=split,
                ref_id=f"{split}-{index}" if ref.ref_id is None else str(ref.ref_id),
                image_file=image_file_name(ref.file_name),
                image_id=str(ref.image_id),
                gold=objects.boxes,
                target_ids=ref.target_ids(),
                sentences=tuple(sentence.sentence() for sentence in ref.sentences),
                place=f"{name}[{index}]",
                segmentations=objects.segmentations,
            )
