"""What runs when while masks are made beside a device: a picture, and how much of the host's work is hidden.

pytest -m benchmarks -s tests/benchmarks/test_pipeline_trace.py

There is no GPU in it: the device is a wait of 60 ms a picture that leaves the processor alone, as a kernel
does. The host's work is the real one, on pictures and masks of the usual size.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from PIL import Image

from operators.methods.models import Segmenter, Weights
from operators.methods.products import Masks
from operators.pixels.masks import remove_small_regions
from operators.pixels.sam_frame import to_frame
from operators.rows.records import IMAGE_ROW
from operators.segment.operator import SegmentWithSam

pytestmark = [pytest.mark.benchmarks, pytest.mark.timeout(300)]

PICTURE = Path(__file__).resolve().parents[2] / "build" / "bench" / "pipeline.png"
PICTURES, BOXES, DEVICE_S, PER_BATCH = 48, 6, 0.06, 8
FRAME_HW = (683, 1024)
COLORS = {"decode, resize": "#e09f3e", "device": "#1d5f8a", "clean": "#7b9e47"}


class Span(NamedTuple):
    """One step of one picture or batch."""

    step: str
    thread: int
    began_s: float
    ended_s: float


class Traced:
    """SAM's host work around a device that waits."""

    frame_px = 1024

    def __init__(self) -> None:
        self.spans: list[Span] = []
        height, width = FRAME_HW
        ys, xs = np.ogrid[:height, :width]
        radii_px = np.linspace(50, 200, BOXES)
        self._masks = np.stack([(ys - height / 2) ** 2 + (xs - width / 2) ** 2 < r**2 for r in radii_px])

    @contextmanager
    def _note(self, step: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.spans.append(Span(step, threading.get_ident(), began_s, time.perf_counter()))

    def to_frame(self, image_HWC: np.ndarray) -> np.ndarray:
        with self._note("decode, resize"):
            return to_frame(image_HWC, self.frame_px)

    def raw_masks(self, frames_HWC: Any, sizes_hw: Any, boxes_xyxy: Any) -> list[np.ndarray]:
        with self._note("device"):
            time.sleep(DEVICE_S * len(frames_HWC))
        return [self._masks.copy() for _ in frames_HWC]

    def cleaned(self, masks_NHW: np.ndarray) -> np.ndarray:
        with self._note("clean"):
            for index, mask in enumerate(masks_NHW):
                masks_NHW[index] = remove_small_regions(mask, 400)
        return masks_NHW


def rows() -> pa.Table:
    """Photograph-like pictures of 640 x 427, JPEG."""
    content = []
    for number in range(PICTURES):
        coarse = np.random.RandomState(number).randint(0, 256, (40, 60, 3)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((640, 427), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        region = {"sources": [], "status": "ok", "exact_mask": None}
        regions = [{"region_id": i, "box_xywh": [9.0 * i, 5.0, 90.0, 80.0], **region} for i in range(BOXES)]
        row = {"image_key": str(number), "image": buffer.getvalue(), "image_sha256": "", "status": "ok"}
        row |= {"width": 640, "height": 427, "regions": regions, "proposal_sets": [], "refs": []}
        content.append(row)
    return pa.Table.from_pylist(content, schema=IMAGE_ROW)


def traced(given: pa.Table, host_threads: int) -> tuple[float, list[Span]]:
    segmenter = Traced()
    weights = Weights(source="/x", sha256="0" * 64, label="random")
    product = Masks(segmenter=Segmenter(name="s", architecture="none", weights=weights))
    operator = SegmentWithSam(
        load_segmenter=lambda _: segmenter, host_threads=host_threads, pictures_per_batch=PER_BATCH
    )
    began_s = time.perf_counter()
    ((_, part),) = operator(given, [product], lambda _: pytest.fail("nothing to load"))
    assert part.num_rows == PICTURES
    return time.perf_counter() - began_s, segmenter.spans


def draw(spans: list[Span]) -> None:
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    threads = {thread: row for row, thread in enumerate(dict.fromkeys(s.thread for s in spans))}
    start_s = min(span.began_s for span in spans)
    for step, color in COLORS.items():
        mine = [span for span in spans if span.step == step]
        lefts, widths = [s.began_s - start_s for s in mine], [s.ended_s - s.began_s for s in mine]
        axes.barh([threads[s.thread] for s in mine], widths, left=lefts, color=color, label=step)
    axes.set(xlabel="seconds", ylabel="threads", yticks=[])
    figure.legend(loc="outside upper center", ncols=len(COLORS))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def test_the_host_works_while_the_device_does() -> None:
    given = rows()
    alone_s, _ = traced(given, host_threads=0)
    beside_s, spans = traced(given, host_threads=2)
    draw(spans)
    device_s = PICTURES * DEVICE_S
    hidden = (alone_s - beside_s) / (alone_s - device_s)
    print(
        f"\n{PICTURES} pictures, {device_s:.2f} s of the device; steps one after the other {alone_s:.2f} s,"
    )
    print(f"beside each other {beside_s:.2f} s: device busy {100 * device_s / beside_s:.0f} %,")
    print(f"{100 * hidden:.0f} % of the host's work hidden; picture: {PICTURE}")
    assert beside_s < alone_s
