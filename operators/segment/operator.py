"""SAM over image rows: every region of every image becomes a mask, once for all prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from operators.datasets.complete_rows import add_proposals
from operators.methods.models import Segmenter
from operators.methods.products import Load, Masks, Report, no_report
from operators.pixels.geometry import xywh_to_xyxy
from operators.pixels.images import ImageError, decode_row, to_array
from operators.pixels.masks import encode_masks
from operators.rows.records import MASKS, error, valid_regions
from operators.segment.proposals import PUBLISHED_GRID, GridSettings
from operators.segment.segmenter import SegmenterModel

STAGE = "segment"
LoadSegmenter = Callable[[Segmenter], SegmenterModel]


class SegmentWithSam:
    """Operator: image rows to one mask for every valid region, in the segmenter's frame.

    Args:
        load_segmenter: builds a segmenter with verified weights; called when it is first needed.
        report: called with (event, count) per image and per mask.
    """

    def __init__(self, *, load_segmenter: LoadSegmenter, report: Report = no_report) -> None:
        self._load_segmenter = load_segmenter
        self._report = report
        self._segmenters: dict[Segmenter, SegmenterModel] = {}

    def __call__(
        self, rows: pa.Table, wanted: Sequence[Masks], load: Load
    ) -> Iterator[tuple[Masks, pa.Table]]:
        """Yield the masks part of every wanted product for one shard of `IMAGE_ROW`s."""
        for product in wanted:
            if product.segmenter not in self._segmenters:
                self._segmenters[product.segmenter] = self._load_segmenter(product.segmenter)
            sam = self._segmenters[product.segmenter]
            yield (
                product,
                pa.Table.from_pylist([self._row(sam, row) for row in rows.to_pylist()], schema=MASKS),
            )

    def _row(self, sam: SegmenterModel, row: dict[str, Any]) -> dict[str, Any]:
        masks: list[Any] = [None] * len(row["regions"])
        problem = None
        try:
            image_HWC = to_array(decode_row(row))
            valid = valid_regions(row)
            if valid:
                boxes_xywh = np.array([row["regions"][i]["box_xywh"] for i in valid])
                encoded = encode_masks(sam.segment(image_HWC, xywh_to_xyxy(boxes_xywh)))
                for region, mask in zip(valid, encoded, strict=True):
                    masks[region] = mask
                self._report("masks made", len(valid))
        except ImageError as refused:
            problem = error(STAGE, refused.code, str(refused))
        self._report("images segmented", 1)
        return {"image_key": row["image_key"], "masks": masks, "error": problem}


def propose_regions(
    segmenter: SegmenterModel, row: dict[str, Any], name: str, settings: GridSettings = PUBLISHED_GRID
) -> dict[str, Any]:
    """Return an image row with a proposal set of that name added; a row without a picture stays as it is."""
    try:
        proposals = segmenter.regions_on_grid(to_array(decode_row(row)), settings)
    except ImageError:
        return row
    add_proposals(row, name, [proposal.box_xywh for proposal in proposals])
    return row
