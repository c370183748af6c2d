"""What a reader yields for every referred object, and the shared checks of annotation files."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
        written_name: the picture's name as it stands in the file, where `image_file` was derived from it.
        image_size_wh: width and height of the picture in pixels, as annotated.
        gold_is_whole: whether `gold` has every annotated object, so that it can serve as a set of proposals.
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
    written_name: str = ""
    image_size_wh: tuple[int, int] | None = None
    gold_is_whole: bool = True


class FileRecord(BaseModel):
    """Base of the records that are checked on reading; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageRecord(FileRecord):
    """A COCO-style image entry, as far as it is of use."""

    id: Id
    width: int | None = None
    height: int | None = None

    def size_wh(self) -> tuple[int, int] | None:
        """Return (width, height) in pixels if both are given."""
        return (self.width, self.height) if self.width and self.height else None


class GoldAnnotation(FileRecord):
    """A COCO-style annotation."""

    id: Id
    bbox: BoxXYWH
    image_id: Id | None = None
    segmentation: Any = None


class Gold(NamedTuple):
    """The annotated objects of a picture: `gold`, `segmentations` and `image_size_wh` of `AnnotatedRef`."""

    boxes: tuple[tuple[str, BoxXYWH], ...] = ()
    segmentations: Mapping[str, Any] = MappingProxyType({})
    size_wh: tuple[int, int] | None = None

    @classmethod
    def of(cls, annotations: Sequence[GoldAnnotation], size_wh: tuple[int, int] | None = None) -> Gold:
        """Return what annotations of one picture say, in their order."""
        outlined = {str(a.id): outline for a in annotations if (outline := plain_outline(a.segmentation))}
        return cls(tuple((str(a.id), a.bbox) for a in annotations), outlined, size_wh)


def plain_outline(segmentation: Any) -> Any:
    """Return a COCO segmentation as plain JSON data; None where there is none.

    A mask's compressed run lengths are bytes in pickles and text in JSON files.
    """
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), bytes):
        return {**segmentation, "counts": segmentation["counts"].decode("latin-1")}
    return segmentation or None


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
    width: int | None = None
    height: int | None = None
    sentences: list[SentenceRecord]

    def size_wh(self) -> tuple[int, int] | None:
        """Return (width, height) of the picture in pixels if the file gives both."""
        return (self.width, self.height) if self.width and self.height else None

    def target_ids(self) -> tuple[str, ...]:
        """Return the target annotation ids, of which a file may give one or a list."""
        ids = self.ann_id if isinstance(self.ann_id, list) else [self.ann_id]
        return tuple(str(i) for i in ids)


# The published rule cuts at the last "_" of every name with "coco" in it (rec_scoring section 2.1), and makes
# one picture of all plain COCO names; on the published files it cuts what follows the twelve digits.
_WITH_ANNOTATION = re.compile(
    r"(?P<name>(?:.*/)?COCO_[a-z]+\d{4}_\d{12})_\d+(?P<suffix>\.\w+)", re.IGNORECASE
)


def image_file_name(file_name: str) -> str:
    """Undo the `_<annotation id>` that REFER appends to COCO's names; every other name stands."""
    found = _WITH_ANNOTATION.fullmatch(file_name)
    return found["name"] + found["suffix"] if found else file_name


def with_present_names(refs: Iterable[AnnotatedRef], present: Collection[str]) -> list[AnnotatedRef]:
    """Let a name that exists win: where a picture has the very name in the file, that is the one meant."""
    return [replace(ref, image_file=ref.written_name) if ref.written_name in present else ref for ref in refs]


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
