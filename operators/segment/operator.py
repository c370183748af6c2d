"""SAM over image rows: every region of every image becomes a mask, once for all prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.datasets.complete_rows import add_proposals
from operators.methods.models import Segmenter
from operators.methods.products import Load, Masks, Report, no_report
from operators.pixels.geometry import Boxes, xywh_to_xyxy
from operators.pixels.images import ImageError, decode_row, to_array
from operators.pixels.masks import BoolMasks, encode_masks
from operators.rows.read_ahead import read_ahead
from operators.rows.records import MASKS, error, valid_regions
from operators.segment.proposals import PUBLISHED_GRID, GridSettings
from operators.segment.segmenter import BatchedSegmenter, SegmenterModel

STAGE = "segment"
LoadSegmenter = Callable[[Segmenter], SegmenterModel]


@dataclass
class _Picture:
    """An image row on its way.

    Attributes:
        valid: its regions with area.
        pixels_HWC: decoded, and in the frame if the segmenter works in batches; None if nothing is to do.
        size_hw: of the decoded image in pixels.
        boxes_xyxy: of the valid regions.
        masks: of the valid regions.
        problem: why there are none.
    """

    row: dict[str, Any]
    valid: list[int]
    pixels_HWC: NDArray[np.uint8] | None = None
    size_hw: tuple[int, int] = (0, 0)
    boxes_xyxy: Boxes | None = None
    masks: BoolMasks | None = None
    problem: dict[str, str] | None = None


class SegmentWithSam:
    """Operator: image rows to one mask for every valid region, in the segmenter's frame.

    Three steps for every picture: decode it, run the model, clean and encode the masks. With `host_threads`
    the first and the last run beside the model, which then takes several pictures at a time; on a CPU one
    follows the other, so that masks do not depend on how the work was cut.

    Args:
        load_segmenter: builds a segmenter with verified weights; called when it is first needed.
        host_threads: of each of the two steps beside the model; 0 for none.
        pictures_per_batch: of one pass of the model.
        report: called with (event, count) per image and per mask.
    """

    def __init__(
        self,
        *,
        load_segmenter: LoadSegmenter,
        host_threads: int = 0,
        pictures_per_batch: int = 1,
        report: Report = no_report,
    ) -> None:
        self._load_segmenter = load_segmenter
        self._host_threads, self._pictures_per_batch = host_threads, pictures_per_batch
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
            # The model takes a batch and leaves a batch: so many lie before it and behind it.
            beside = {"requests": self._host_threads, "ahead": self._pictures_per_batch}
            pictures = read_ahead(partial(_decoded, sam), rows.to_pylist(), **beside)
            finished = read_ahead(partial(_finished, sam), self._segmented(sam, pictures), **beside)
            yield product, pa.Table.from_pylist([self._told(row) for row in finished], schema=MASKS)

    def _segmented(self, sam: SegmenterModel, pictures: Iterator[_Picture]) -> Iterator[_Picture]:
        """Run the model on pictures, several at a time where it can, and hand them on in their order."""
        while batch := list(islice(pictures, self._pictures_per_batch)):
            todo = [picture for picture in batch if picture.pixels_HWC is not None]
            if todo and isinstance(sam, BatchedSegmenter):
                frames, sizes, boxes = zip(
                    *((p.pixels_HWC, p.size_hw, p.boxes_xyxy) for p in todo), strict=True
                )
                for picture, masks in zip(todo, sam.raw_masks(frames, sizes, boxes), strict=True):
                    picture.masks = masks
            else:
                for picture in todo:
                    assert picture.pixels_HWC is not None and picture.boxes_xyxy is not None
                    picture.masks = sam.segment(picture.pixels_HWC, picture.boxes_xyxy)
            yield from batch

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        made = sum(mask is not None for mask in row["masks"])
        if made:
            self._report("masks made", made)
        self._report("images segmented", 1)
        return row


def _decoded(sam: SegmenterModel, row: dict[str, Any]) -> _Picture:
    """Decode a picture that has regions, and bring it into the frame."""
    picture = _Picture(row, valid_regions(row))
    try:
        image_HWC = to_array(decode_row(row))
    except ImageError as refused:
        picture.problem = error(STAGE, refused.code, str(refused))
        return picture
    if picture.valid:
        boxes_xywh = np.array([row["regions"][i]["box_xywh"] for i in picture.valid])
        picture.boxes_xyxy, picture.size_hw = xywh_to_xyxy(boxes_xywh), image_HWC.shape[:2]
        picture.pixels_HWC = sam.to_frame(image_HWC) if isinstance(sam, BatchedSegmenter) else image_HWC
    return picture


def _finished(sam: SegmenterModel, picture: _Picture) -> dict[str, Any]:
    """Clean the masks of a picture and write them as a row of `MASKS`."""
    masks: list[Any] = [None] * len(picture.row["regions"])
    if picture.masks is not None:
        cleaned = sam.cleaned(picture.masks) if isinstance(sam, BatchedSegmenter) else picture.masks
        for region, mask in zip(picture.valid, encode_masks(cleaned), strict=True):
            masks[region] = mask
    return {"image_key": picture.row["image_key"], "masks": masks, "error": picture.problem}


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
