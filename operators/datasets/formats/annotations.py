"""What a reader yields for every referred object, and the shared checks of annotation files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

BoxXYWH = tuple[float, float, float, float]


def _storable(text: str) -> str:
    """Refuse half a surrogate pair, which JSON and pickles can say but UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(f"character {problem.start} is half a surrogate pair, not text") from problem
    return text


Text = Annotated[str, AfterValidator(_storable)]
Id = int | Text


class AnnotationError(ValueError):
    """A malformed annotation file; the message names the file, the place and the fix."""


@dataclass(frozen=True)
class Sentence:
    """One expression as annotated. `sentence_id` is None where the file has none."""

    sentence_id: str | None
    raw: str


@dataclass(frozen=True)
class AnnotatedRef:
    """One referred object with everything its file says.

    Attributes:
        image_file: name of the picture below the image folder.
        image_id: the detector's key for the picture.
        gold: (annotation id, box) of every annotated object of the picture, in file order.
        segmentations: annotation id -> outline as annotated (`operators.pixels.masks.mask_of_segmentation`),
            of the objects that have one.
        target_ids: the annotation ids that count as correct.
        place: `file:line` or `file[index]`, for messages.
    """

    dataset: str
    split: str
    ref_id: str
    image_file: str
    image_id: str
    gold: tuple[tuple[str, BoxXYWH], ...]
    target_ids: tuple[str, ...]
    sentences: tuple[Sentence, ...]
    place: str
    segmentations: Mapping[str, Any] = field(default_factory=dict)


class FileRecord(BaseModel):
    """Base of the records that are checked on reading; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class GoldAnnotation(FileRecord):
    """A COCO-style annotation."""

    id: Id
    bbox: BoxXYWH
    image_id: Id | None = None
    segmentation: Any = None


class Gold(NamedTuple):
    """The annotated objects of a picture: `AnnotatedRef.gold` and `AnnotatedRef.segmentations`."""

    boxes: tuple[tuple[str, BoxXYWH], ...] = ()
    segmentations: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, annotations: Sequence[GoldAnnotation]) -> Gold:
        """Return what annotations of one picture say, in their order."""
        outlined = {str(a.id): a.segmentation for a in annotations if a.segmentation}
        return cls(tuple((str(a.id), a.bbox) for a in annotations), outlined)


class SentenceRecord(FileRecord):
    """A sentence as REFER and ReCLIP store it."""

    raw: Text
    sent_id: Id | None = None

    def sentence(self) -> Sentence:
        """Return the reader's form of it."""
        return Sentence(None if self.sent_id is None else str(self.sent_id), self.raw)


class RefRecord(FileRecord):
    """The fields that a ReCLIP line and a REFER reference share."""

    file_name: Text = Field(min_length=1)
    image_id: Id
    ann_id: Id | list[Id]
    ref_id: Id | None = None
    sentences: list[SentenceRecord]

    def target_ids(self) -> tuple[str, ...]:
        """Return the target annotation ids, of which a file may give one or a list."""
        ids = self.ann_id if isinstance(self.ann_id, list) else [self.ann_id]
        return tuple(str(i) for i in ids)


def image_file_name(file_name: str) -> str:
    """Undo the `_<annotation id>.jpg` ending of COCO names; other names stand (rec_scoring section 2.1)."""
    if "coco" not in file_name.lower() or "_" not in file_name:
        return file_name
    return file_name.rsplit("_", 1)[0] + ".jpg"


def parse_json(text: str, place: str) -> Any:
    """Parse JSON and refuse duplicate keys.

    Raises:
        AnnotationError: naming `place` and the position.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as problem:
        raise AnnotationError(
            f"{place}: not valid JSON at line {problem.lineno}, column {problem.colno}: {problem.msg}"
        ) from problem
    except ValueError as problem:
        raise AnnotationError(f"{place}: {problem}") from problem
    except RecursionError as problem:
        raise AnnotationError(f"{place}: nested too deeply") from problem


def decode_text(data: bytes, place: str) -> str:
    """Decode UTF-8 (a byte-order mark is accepted).

    Raises:
        AnnotationError: naming `place` and the byte.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise AnnotationError(
            f"{place}: byte {problem.start} is not UTF-8; save the file as UTF-8"
        ) from problem


def first_problem(problem: ValidationError) -> str:
    """Say in one line which field is wrong and how."""
    detail = problem.errors(include_url=False)[0]
    field = ".".join(str(part) for part in detail["loc"]) or "the record"
    return f"{field}: {detail['msg']} (found {str(detail['input'])[:80]!r})"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} occurs twice in one object")
    return record
