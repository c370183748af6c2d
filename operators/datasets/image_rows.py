"""From annotated references to image rows: one row an image, shared by every dataset that uses it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from operators.datasets.formats.annotations import AnnotatedRef, AnnotationError, BoxXYWH
from operators.datasets.formats.parses import Parses, find_parse
from operators.pixels.geometry import INVALID, box_status
from operators.pixels.images import ImageError, decode_rgb
from operators.pixels.masks import mask_of_segmentation
from operators.rows.records import OK, QUARANTINED, error

COCO_NAME = re.compile(r"COCO_(train2014|val2014)_(\d{12})\.jpg")
STAGE = "prepare"
MAX_LISTED = 20

Row = dict[str, Any]
Detections = Mapping[str, Mapping[str, Sequence[BoxXYWH]]]
NO_PARSES: Parses = MappingProxyType({})


def image_key(image_file: str) -> str:
    """Return a key that does not depend on the dataset: `coco/train2014/581857`, else `file/<name>`."""
    coco = COCO_NAME.fullmatch(image_file)
    return f"coco/{coco[1]}/{int(coco[2])}" if coco else f"file/{image_file}"


@dataclass
class _Image:
    """An image while its regions are collected; equal boxes share a region."""

    image_file: str
    regions: dict[BoxXYWH, list[str]] = field(default_factory=dict)
    proposal_sets: dict[str, list[int]] = field(default_factory=dict)
    gold: dict[str, tuple[tuple[tuple[str, BoxXYWH], ...], str]] = field(default_factory=dict)
    refs: list[Row] = field(default_factory=list)
    segmentations: dict[BoxXYWH, Any] = field(default_factory=dict)

    def region_id(self, box_xywh: BoxXYWH, source: str) -> int:
        sources = self.regions.setdefault(box_xywh, [])
        if source not in sources:
            sources.append(source)
        return list(self.regions).index(box_xywh)

    def add_proposals(self, name: str, boxes_xywh: Iterable[BoxXYWH]) -> None:
        if name not in self.proposal_sets:
            self.proposal_sets[name] = [self.region_id(box, name) for box in boxes_xywh]


def caption_banks(
    refs: Iterable[AnnotatedRef], parses: Parses = NO_PARSES
) -> dict[tuple[str, str], list[Row]]:
    """Return the whole caption bank of every (dataset, split), in file order, duplicates kept.

    Args:
        refs: references of all datasets and splits, each split in file order.
        parses: of the expressions that have one.

    Raises:
        AnnotationError: if an expression id occurs twice in a dataset.
    """
    banks: dict[tuple[str, str], list[Row]] = {}
    for ref in refs:
        bank = banks.setdefault((ref.dataset, ref.split), [])
        for sentence in ref.sentences:
            expression_id = sentence.sentence_id or f"{ref.split}-{len(bank)}"
            parse = find_parse(parses, ref.dataset, sentence.raw)
            bank.append({"expression_id": expression_id, "text": sentence.raw, "parse": parse})
    for dataset in {dataset for dataset, _ in banks}:
        ids = Counter(
            row["expression_id"] for key, bank in banks.items() if key[0] == dataset for row in bank
        )
        double = [name for name, count in ids.items() if count > 1]
        if double:
            raise AnnotationError(
                f"{dataset}: {len(double)} expression ids occur more than once: "
                f"{', '.join(double[:MAX_LISTED])}; give every sentence its own sent_id"
            )
    return banks


def assemble_rows(
    refs: Sequence[AnnotatedRef], detections: Detections, parses: Parses = NO_PARSES
) -> list[Row]:
    """Merge references into image rows without image bytes, ordered by image key.

    Args:
        refs: references of all datasets and splits, each split in file order.
        detections: dataset -> image id -> boxes; a dataset without detections is absent.
        parses: of the expressions that have one.

    Returns:
        Rows of `IMAGE_ROW` plus `image_file`; sizes, statuses and hashes are filled by `complete_row`, which
        also makes masks of the segmentations that stand in their place.

    Raises:
        AnnotationError: if two lines of a dataset give one image different annotations.
    """
    banks = caption_banks(refs, parses)
    positions = dict.fromkeys(banks, 0)
    images: dict[str, _Image] = {}
    for ref in refs:
        image = images.setdefault(image_key(ref.image_file), _Image(ref.image_file))
        _add_boxes(image, ref, detections)
        expressions = []
        for _ in ref.sentences:
            position = positions[ref.dataset, ref.split]
            entry = banks[ref.dataset, ref.split][position]
            expressions.append({**entry, "split_index": position, "status": OK, "error": None})
            positions[ref.dataset, ref.split] = position + 1
        targets = [box for annotation, box in ref.gold if annotation in ref.target_ids]
        image.refs.append(
            {
                "ref_id": ref.ref_id,
                "dataset": ref.dataset,
                "split": ref.split,
                "target_region_ids": [image.region_id(box, f"gold/{ref.dataset}") for box in targets],
                "expressions": expressions,
            }
        )
    return [_row(key, images[key]) for key in sorted(images)]


def complete_row(row: Row, image: bytes | ImageError) -> Row:
    """Fill in what only the picture tells: size, hash, and the status of image, regions and expressions.

    Args:
        row: result of `assemble_rows`.
        image: the encoded picture, or why it could not be had for good.

    Returns:
        A row of `IMAGE_ROW`. A picture that cannot be decoded gives a quarantined row, never an exception.
    """
    row = {name: value for name, value in row.items() if name != "image_file"}
    try:
        if isinstance(image, ImageError):
            raise image
        row["width"], row["height"] = decode_rgb(image).size
    except ImageError as problem:
        row["status"], row["error"] = QUARANTINED, error(STAGE, problem.code, str(problem))
    row["image"] = image if isinstance(image, bytes) else b""
    row["image_sha256"] = hashlib.sha256(row["image"]).hexdigest()
    _whole_image_where_undetected(row)
    for region in row["regions"]:
        region["status"] = box_status(region["box_xywh"], row["width"], row["height"])
        region["exact_mask"] = mask_of_segmentation(region["exact_mask"], (row["height"], row["width"]))
    for ref in row["refs"]:
        for expression in ref["expressions"]:
            expression["error"] = _expression_error(row, ref, expression["text"])
            expression["status"] = QUARANTINED if expression["error"] else OK
    return row


def _add_boxes(image: _Image, ref: AnnotatedRef, detections: Detections) -> None:
    known, place = image.gold.setdefault(ref.dataset, (ref.gold, ref.place))
    if known != ref.gold:
        raise AnnotationError(
            f"{ref.place}: lists other annotations of {ref.image_file} than {place}; an image must have one "
            "list of gold proposals"
        )
    image.add_proposals(f"gold/{ref.dataset}", [box for _, box in ref.gold])
    for name, box in ref.gold:
        if name in ref.segmentations:
            image.segmentations.setdefault(box, ref.segmentations[name])
    if ref.dataset in detections:
        image.add_proposals(f"detections/{ref.dataset}", detections[ref.dataset].get(ref.image_id, ()))


def _row(key: str, image: _Image) -> Row:
    regions = [
        {
            "region_id": i,
            "box_xywh": list(box),
            "sources": sources,
            "status": OK,
            "exact_mask": image.segmentations.get(box),
        }
        for i, (box, sources) in enumerate(image.regions.items())
    ]
    sets = [{"name": name, "region_ids": ids} for name, ids in image.proposal_sets.items()]
    return {
        "image_key": key,
        "image_file": image.image_file,
        "width": 0,
        "height": 0,
        "regions": regions,
        "proposal_sets": sets,
        "refs": image.refs,
        "status": OK,
        "error": None,
    }


def add_proposals(row: Row, name: str, boxes_xywh: Iterable[Iterable[float]]) -> None:
    """Give an image row a proposal set, in place; a box that is already a region is shared.

    Args:
        row: with width and height filled in.
        name: of the set; an existing set of that name is replaced.
        boxes_xywh: in their order, pixels of the image.
    """
    numbers = {tuple(region["box_xywh"]): region["region_id"] for region in row["regions"]}
    ids = []
    for box in boxes_xywh:
        x, y, w, h = (float(v) for v in box)
        box_xywh = (x, y, w, h)
        if box_xywh not in numbers:
            numbers[box_xywh] = len(row["regions"])
            row["regions"].append(
                {
                    "region_id": numbers[box_xywh],
                    "box_xywh": list(box_xywh),
                    "sources": [],
                    "status": box_status(box_xywh, row["width"], row["height"]),
                    "exact_mask": None,
                }
            )
        sources = row["regions"][numbers[box_xywh]]["sources"]
        if name not in sources:
            sources.append(name)
        ids.append(numbers[box_xywh])
    sets = {proposal_set["name"]: proposal_set["region_ids"] for proposal_set in row["proposal_sets"]}
    row["proposal_sets"] = [{"name": n, "region_ids": i} for n, i in (sets | {name: ids}).items()]


def _whole_image_where_undetected(row: Row) -> None:
    """An image without detections gets one box covering it (rec_scoring spec section 2.3)."""
    if row["status"] != OK:
        return
    for proposal_set in list(row["proposal_sets"]):
        if proposal_set["name"].startswith("detections/") and not proposal_set["region_ids"]:
            add_proposals(row, proposal_set["name"], [(0, 0, row["width"], row["height"])])


def _expression_error(row: Row, ref: Row, text: str) -> Row | None:
    if row["status"] != OK:
        return dict(row["error"])
    if not text.strip():
        return error(STAGE, "text.empty", "the expression has no words")
    if "\0" in text:
        return error(STAGE, "text.invalid", "the expression contains a NUL character")
    if not ref["target_region_ids"]:
        return error(STAGE, "target.missing", "no annotation of the image has the target's id")
    if all(row["regions"][i]["status"] == INVALID for i in ref["target_region_ids"]):
        return error(STAGE, "target.invalid", "every target box is without area or outside the image")
    return None
