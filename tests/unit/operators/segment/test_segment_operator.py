"""The operator of masks: the same rows in order, faults included, whether its steps follow or overlap."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from operators.methods.models import Segmenter, Weights
from operators.methods.products import Masks
from operators.pixels.geometry import INVALID
from operators.pixels.masks import decode_masks
from operators.rows.records import IMAGE_ROW
from operators.segment.operator import SegmentWithSam

SEGMENTER = Segmenter(
    name="s", architecture="none", weights=Weights(source="/x", sha256="0" * 64, label="tiny"), frame_px=64
)
BOXES = [[4.0, 5.0, 20.0, 10.0], [0.0, 0.0, 63.0, 40.0], [30.0, 8.0, 9.0, 9.0]]


class Boxes:
    """A segmenter in steps whose masks are the boxes; it notes what it was given at once, and when."""

    frame_px = 64

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.device_threads: set[int] = set()
        self.host_threads: set[int] = set()

    def to_frame(self, image_HWC: np.ndarray) -> np.ndarray:
        self.host_threads.add(threading.get_ident())
        time.sleep(0.01)
        return image_HWC

    def raw_masks(self, frames_HWC: Any, sizes_hw: Any, boxes_xyxy: Any) -> list[np.ndarray]:
        self.batches.append(len(frames_HWC))
        self.device_threads.add(threading.get_ident())
        found = []
        for frame, size_hw, boxes in zip(frames_HWC, sizes_hw, boxes_xyxy, strict=True):
            assert frame.shape[:2] == size_hw
            masks = np.zeros((len(boxes), *size_hw), bool)
            for mask, (x1, y1, x2, y2) in zip(masks, np.array(boxes).astype(int), strict=True):
                mask[y1:y2, x1:x2] = True
            found.append(masks)
        return found

    def cleaned(self, masks_NHW: np.ndarray) -> np.ndarray:
        self.host_threads.add(threading.get_ident())
        masks_NHW[:, 0, 0] = True
        return masks_NHW


class OneByOne:
    """The same without steps, as simple segmenters are."""

    frame_px = 64

    def segment(self, image_HWC: np.ndarray, boxes_xyxy: Any) -> np.ndarray:
        whole = Boxes()
        (masks,) = whole.raw_masks([image_HWC], [image_HWC.shape[:2]], [boxes_xyxy])
        return whole.cleaned(masks)


def rows(count: int = 11) -> pa.Table:
    """Pictures with 1 to 3 boxes; the third cannot be decoded, the fifth has no box with area."""
    content = []
    for number in range(count):
        buffer = io.BytesIO()
        pixels = np.random.RandomState(number).randint(0, 256, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        status = INVALID if number == 4 else "ok"
        regions = [
            {"region_id": i, "box_xywh": box, "sources": [], "status": status, "exact_mask": None}
            for i, box in enumerate(BOXES[: 1 + number % 3])
        ]
        content.append(
            {
                "image_key": str(number),
                "image": buffer.getvalue() if number != 2 else b"no picture",
                "image_sha256": "",
                "width": 64,
                "height": 48,
                "regions": regions,
                "proposal_sets": [],
                "refs": [],
                "status": "ok",
            }
        )
    return pa.Table.from_pylist(content, schema=IMAGE_ROW)


def made(segmenter: Any, **settings: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    counted: dict[str, int] = {}
    operator = SegmentWithSam(
        load_segmenter=lambda _: segmenter,
        report=lambda event, n: counted.__setitem__(event, counted.get(event, 0) + n),
        **settings,
    )
    ((_, part),) = operator(rows(), [Masks(segmenter=SEGMENTER)], lambda _: pytest.fail("nothing to load"))
    return part.to_pylist(), counted


def test_rows_do_not_depend_on_what_runs_beside_the_model() -> None:
    expected, counted = made(Boxes())
    assert [row["image_key"] for row in expected] == [str(n) for n in range(11)]
    assert counted == {
        "images segmented": 11,
        "masks made": sum(1 + n % 3 for n in range(11) if n not in (2, 4)),
    }
    assert expected[2]["error"]["code"].startswith("image.") and expected[2]["masks"] == [None] * 3
    assert expected[4] == {"image_key": "4", "masks": [None] * 2, "error": None}
    first = decode_masks(expected[0]["masks"], (48, 64))[0]
    assert first[0, 0] and first[5:15, 4:24].all() and first.sum() == 1 + 10 * 20
    for settings in ({"host_threads": 3, "pictures_per_batch": 4}, {"pictures_per_batch": 3}):
        assert made(Boxes(), **settings) == (expected, counted), settings
    assert made(OneByOne(), host_threads=2) == (expected, counted)


def test_the_model_stays_in_one_thread_and_gets_several_pictures() -> None:
    segmenter = Boxes()
    made(segmenter, host_threads=3, pictures_per_batch=4)
    assert segmenter.batches == [3, 3, 3]  # of 4, 4 and 3 pictures, without the two that have nothing to do
    assert segmenter.device_threads == {threading.get_ident()}
    assert threading.get_ident() not in segmenter.host_threads and len(segmenter.host_threads) > 1
    alone = Boxes()
    made(alone)
    assert alone.batches == [1] * 9
    assert alone.host_threads == alone.device_threads == {threading.get_ident()}
