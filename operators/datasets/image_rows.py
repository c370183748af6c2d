"""From annotated references to image rows: one row an image, shared by every dataset that uses it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from operators.datasets.formats.annotations import AnnotatedRef, AnnotationError, BoxXYWH
from operators.datasets.formats.parses import Parses, find_parse
from operators.rows.records import OK

COCO_NAME = re.compile(r"COCO_(train2014|val2014)_(\d{12})\.jpg")
MAX_LISTED = 20

Row = dict[str, Any]
# A box, and which of the outlines that annotations give it.
RegionKey = tuple[BoxXYWH, int]
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
    size_wh: tuple[int, int] | None = None
    regions: dict[RegionKey, list[str]] = field(default_factory=dict)
    proposal_sets: dict[str, list[int]] = field(default_factory=dict)
    gold: dict[str, tuple[tuple[tuple[str, BoxXYWH], ...], str]] = field(default_factory=dict)
    refs: list[Row] = field(default_factory=list)
    outlines: dict[BoxXYWH, list[Any]] = field(default_factory=dict)

    def region_id(self, box_xywh: BoxXYWH, source: str, outline: Any = None) -> int:
        """Return the region of a box; things with one box and different outlines are different regions."""
        key = box_xywh, self._number(box_xywh, outline)
        sources = self.regions.setdefault(key, [])
        if source not in sources:
            sources.append(source)
        return list(self.regions).index(key)

    def add_proposals(self, name: str, boxes_xywh: Iterable[tuple[BoxXYWH, Any]]) -> None:
        if name not in self.proposal_sets:
            self.proposal_sets[name] = [self.region_id(box, name, outline) for box, outline in boxes_xywh]

    def outline(self, key: RegionKey) -> Any:
        """Return the outline of a region, None if it has none."""
        outlines, number = self.outlines.get(key[0], []), key[1]
        return outlines[number] if number < len(outlines) else None

    def _number(self, box_xywh: BoxXYWH, outline: Any) -> int:
        """Number the outlines of a box; whoever gives none means the first."""
        if outline is None:
            return 0
        outlines = self.outlines.setdefault(box_xywh, [])
        if outline not in outlines:
            outlines.append(outline)
        return outlines.index(outline)


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
        Rows of `IMAGE_ROW` plus `image_file` and `annotated_wh`; sizes, statuses and hashes are filled by
        `complete_row`, which also makes masks of the segmentations that stand in their place.

    Raises:
        AnnotationError: if two lines of a dataset give one image different annotations.
    """
    banks = caption_banks(refs, parses)
    positions = dict.fromkeys(banks, 0)
    images: dict[str, _Image] = {}
    for ref in refs:
        image = images.setdefault(image_key(ref.image_file), _Image(ref.image_file))
        image.size_wh = image.size_wh or ref.image_size_wh
        _add_boxes(image, ref, detections)
        expressions = []
        for _ in ref.sentences:
            position = positions[ref.dataset, ref.split]
            entry = banks[ref.dataset, ref.split][position]
            expressions.append({**entry, "split_index": position, "status": OK, "error": None})
            positions[ref.dataset, ref.split] = position + 1
        targets = [(box, name) for name, box in ref.gold if name in ref.target_ids]
        image.refs.append(
            {
                "ref_id": ref.ref_id,
                "dataset": ref.dataset,
                "split": ref.split,
                "target_region_ids": [
                    image.region_id(box, f"gold/{ref.dataset}", ref.segmentations.get(name))
                    for box, name in targets
                ],
                "expressions": expressions,
            }
        )
    return [_row(key, images[key]) for key in sorted(images)]


def _add_boxes(image: _Image, ref: AnnotatedRef, detections: Detections) -> None:
    if not ref.gold_is_whole:
        return _add_detections(image, ref, detections)
    known, place = image.gold.setdefault(ref.dataset, (ref.gold, ref.place))
    if known != ref.gold:
        raise AnnotationError(
            f"{ref.place}: lists other annotations of {ref.image_file} than {place}; an image must have one "
            "list of gold proposals"
        )
    image.add_proposals(f"gold/{ref.dataset}", [(box, ref.segmentations.get(name)) for name, box in ref.gold])
    _add_detections(image, ref, detections)


def _add_detections(image: _Image, ref: AnnotatedRef, detections: Detections) -> None:
    if ref.dataset in detections:
        found = detections[ref.dataset].get(ref.image_id, ())
        image.add_proposals(f"detections/{ref.dataset}", [(box, None) for box in found])


def _row(key: str, image: _Image) -> Row:
    regions = [
        {
            "region_id": i,
            "box_xywh": list(region[0]),
            "sources": sources,
            "status": OK,
            "exact_mask": image.outline(region),
        }
        for i, (region, sources) in enumerate(image.regions.items())
    ]
    sets = [{"name": name, "region_ids": ids} for name, ids in image.proposal_sets.items()]
    return {
        "image_key": key,
        "image_file": image.image_file,
        "annotated_wh": image.size_wh,
        "width": 0,
        "height": 0,
        "regions": regions,
        "proposal_sets": sets,
        "refs": image.refs,
        "status": OK,
        "error": None,
    }
