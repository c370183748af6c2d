"""How fast prompts are drawn: against the plain loop, and milliseconds a picture for each.

    OMP_WAIT_POLICY=passive pytest -m benchmarks -s tests/benchmarks/test_drawing_speed.py

Times are CPU seconds of this process, all threads together, so that a busy machine disturbs them less; the
two sides take turns, and medians are printed with the spread.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import plain_drawing
import pytest
import torch
from PIL import Image

from operators.encode.views import ImageViews
from operators.methods.variants import variant
from operators.prompts import registered_prompts

REGIONS, REPETITIONS = 20, 5
SIZE_WH = (640, 480)
CLIP_PX = 224
TARGET = 4.0
CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}


def photo() -> Image.Image:
    """A smooth picture with grain, as photographs are."""
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(SIZE_WH)
    grain = random.integers(-12, 13, (SIZE_WH[1], SIZE_WH[0], 3))
    return Image.fromarray((np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8))


def regions() -> tuple[np.ndarray, np.ndarray]:
    """Boxes xywh and masks of stars with a hole, from small to half the picture."""
    random = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(SIZE_WH[0]), np.arange(SIZE_WH[1]))
    boxes, masks = [], []
    for index in range(REGIONS):
        width, height = random.uniform(60, 320, 2)
        left, top = random.uniform(0, SIZE_WH[0] - width), random.uniform(0, SIZE_WH[1] - height)
        across, down = (x - left - width / 2) / width, (y - top - height / 2) / height
        radius, angle = 2 * np.hypot(across, down), np.arctan2(down, across)
        masks.append((radius <= 0.8 + 0.2 * np.sin(5 * angle + index)) & (radius >= 0.15))
        boxes.append((left, top, width, height))
    return np.array(boxes), np.stack(masks)


# A busy machine may take long for little CPU time.
pytestmark = pytest.mark.timeout(1200)

PHOTO, (BOXES_XYWH, MASKS_NHW) = photo(), regions()


def plain() -> dict[str, list[np.ndarray]]:
    return {code: draw(PHOTO, MASKS_NHW, 384) for code, draw in plain_drawing.PROMPTS.items()}


def ours(codes: tuple[str, ...] = tuple(plain_drawing.PROMPTS)) -> dict[str, list[np.ndarray]]:
    views = ImageViews(PHOTO, BOXES_XYWH, masks_of=lambda source: MASKS_NHW)
    return {code: views.pictures(variant(code, mask_source="exact")) for code in codes}


def cpu_s(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def shown(seconds: Sequence[float]) -> str:
    return f"{1e3 * median(seconds):6.2f} ms ({1e3 * min(seconds):.2f} to {1e3 * max(seconds):.2f})"


@pytest.fixture(params=[1, 2], ids=lambda threads: f"threads={threads}")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Give PyTorch and OpenCV this many threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(request.param)
    cv2.setNumThreads(request.param)
    yield request.param
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_both_ways_give_the_same_pixels() -> None:
    reference, found = plain(), ours()
    for code in plain_drawing.PROMPTS:
        assert len(reference[code]) == len(found[code]) == REGIONS
        assert all(map(np.array_equal, reference[code], found[code])), code


def test_the_plain_loop_spends_its_time_in_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    plain()
    profile = cProfile.Profile(time.process_time)
    profile.runcall(plain)
    entries = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    here = {str(Path(plain_drawing.__file__)), __file__}
    total = sum(own for _, (_, _, own, _, _) in entries)
    own = sum(own for (file, _, _), (_, _, own, _, _) in entries if file in here)
    with capsys.disabled():
        print(f"\nplain loop: {100 * (1 - own / total):.1f} % of its time inside library calls")
    assert own < 0.1 * total


def test_d1_d3_d4_against_the_plain_loop(threads: int, capsys: pytest.CaptureFixture[str]) -> None:
    plain(), ours()
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(REPETITIONS):
        times["plain"].append(cpu_s(plain))
        times["ours"].append(cpu_s(ours))
    ratio = median(times["plain"]) / median(times["ours"])
    with capsys.disabled():
        print(
            f"\nD1, D3, D4, {REGIONS} regions of {SIZE_WH[0]}x{SIZE_WH[1]}, canvas 384, {threads} thread(s):"
            f" plain {shown(times['plain'])}, ours {shown(times['ours'])}: {ratio:.1f} times less CPU time"
        )
    # Threads that wait spin, unless told otherwise: on a busy machine that is most of what two threads cost.
    if threads == 1 or os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":
        assert ratio >= TARGET


def test_milliseconds_of_every_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    """From the decoded image to the picture, and on to the model input."""
    lines = []
    for name, prompt in registered_prompts().items():
        drawing, fitting = zip(*(_draw_and_fit(name) for _ in range(REPETITIONS)), strict=True)
        lines.append(f"{prompt.code or '-':3}{name:24}{shown(drawing):28}{shown(fitting)}")
    with capsys.disabled():
        print(f"\n{'CPU time a view':27}{'drawing (min to max)':28}model input of {CLIP_PX}")
        print("\n".join(lines))
    assert len(lines) == len(registered_prompts())


def _draw_and_fit(name: str) -> tuple[float, float]:
    """Return CPU seconds a view for drawing, and for making the model input of what is drawn."""
    chosen = variant(name, mask_source="exact")
    views = ImageViews(PHOTO, BOXES_XYWH, masks_of=lambda source: MASKS_NHW)
    drawing = cpu_s(lambda: views.pictures(chosen))
    fitting = cpu_s(lambda: views.views(chosen, CLIP_PX, **CLIP))
    return drawing / REGIONS, fitting / REGIONS
