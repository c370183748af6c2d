"""CPU time of shared-prefix execution against batched masking without sharing and against one box at a time.

pytest -m benchmarks -s tests/benchmarks/test_foveal_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from foveal_oracle import largest_difference, masked_batch, masked_one_by_one, some_masks
from torch import Tensor

from operators.encode.encoders.open_clip import build_clip
from operators.foveal import LAST_FOUR, layer_indices
from operators.foveal.execution import masked_features
from operators.foveal.tower import Pictures, VisionTower

pytestmark = pytest.mark.timeout(3000)

TABLE = (1, 5, 10, 20, 50)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


class Ways:
    """Three ways to the same features: shared, batched without sharing, one box at a time."""

    def __init__(self, architecture: str) -> None:
        torch.manual_seed(0)
        self.visual = build_clip(architecture, quick_gelu=True).visual.eval()
        self.tower = VisionTower(self.visual)
        self.layers = layer_indices(LAST_FOUR, len(self.tower.blocks))
        self.view = torch.randn(1, 3, *self.tower.grid.size_hw)

    def of(self, regions: int) -> dict[str, Callable[[], Tensor]]:
        masks = some_masks(self.tower.grid, regions)
        pictures = Pictures(self.view, torch.zeros(regions, dtype=torch.long))
        views = self.view.expand(regions, -1, -1, -1)
        return {
            "shared": lambda: masked_features(self.tower, pictures, masks, self.layers),
            "batched": lambda: masked_batch(self.visual, views, masks, self.layers),
            "one by one": lambda: masked_one_by_one(self.visual, views, masks, self.layers),
        }


def median_cpu_s(ways: dict[str, Callable[[], Tensor]], repetitions: int) -> dict[str, float]:
    """Measure in turns, so that a busy machine slows every way alike; all ways must agree."""
    spent_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        features = []
        for name, way in ways.items():
            started_s = time.process_time()
            features.append(way())
            spent_s[name].append(time.process_time() - started_s)
        assert all(largest_difference(features[0], other) < 1e-5 for other in features[1:])
    return {name: statistics.median(times_s) for name, times_s in spent_s.items()}


@pytest.mark.parametrize(
    ("architecture", "repetitions", "least"),
    [
        ("ViT-B-16", 5, {"batched": 3.0, "one by one": 4.0}),
        ("ViT-L-14", 3, {"batched": 4.5}),
    ],
)
def test_ten_regions(architecture: str, repetitions: int, least: dict[str, float]) -> None:
    ways = Ways(architecture).of(10)
    cpu_s = median_cpu_s({name: ways[name] for name in ("shared", *least)}, repetitions)
    ratios = {name: cpu_s[name] / cpu_s["shared"] for name in least}
    measured = ", ".join(f"{name} {ratio:.2f} x" for name, ratio in ratios.items())
    print(f"\n{architecture}, 10 regions: shared {cpu_s['shared']:.2f} CPU s, {measured} as much")
    assert all(ratios[name] >= least[name] for name in least)


def test_table() -> None:
    ways = Ways("ViT-B-16")
    print("\nViT-B-16, CPU seconds\n| regions | shared | batched | one by one |\n| --- | --- | --- | --- |")
    for regions in TABLE:
        cpu_s = median_cpu_s(ways.of(regions), repetitions=3 if regions <= 10 else 1)
        print(f"| {regions} | {cpu_s['shared']:.2f} | {cpu_s['batched']:.2f} | {cpu_s['one by one']:.2f} |")
        assert regions == 1 or cpu_s["shared"] < cpu_s["batched"]
