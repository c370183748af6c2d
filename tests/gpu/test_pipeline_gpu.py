"""The pipeline on a GPU against the same pipeline on the CPU: scores close, masks alike, flips counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.dataset.shards import read_shard
from infra.run.options import Exit
from operators.methods.products import Masks
from operators.pixels.masks import decode_masks, mask_iou
from operators.rows.records import valid_regions
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark, make_plan

METHODS = ("P", "I", "C1", "D4", "P|D1|D3|D4", "P|D4,S")
ATTENTION = ("I+FA", "I+FA(form=b)", "falip_circle+FA", "falip_circle+unleash", "I+feature_mask")
SCORE_ATOL = 0.02  # of logits with a factor near 14; GPU batches span images


@pytest.fixture(scope="module")
def shards(drawn: Path, tmp_path_factory) -> str:
    out = str(tmp_path_factory.mktemp("shards"))
    common = {"images": str(drawn / "images"), "refer": str(drawn / "refer"), "executor": "inline"}
    prepare(PrepareOptions(out=out, images_per_shard=3, **common))
    return out


def run_on_both(shards: str, folder: Path, methods: tuple[str, ...], **models: Any) -> dict[str, Any]:
    """Run the same options on both devices."""
    runs = {}
    for device in ("cpu", "cuda"):
        runs[device] = BenchmarkOptions(
            data=shards,
            out=str(folder / device),
            proposals=("gold",),
            methods=methods,
            executor="inline",
            device=device,
            **models,
        )
        assert benchmark(runs[device]) == Exit.COMPLETE
    return runs


@pytest.fixture(scope="module")
def runs(shards, tiny_vit, tiny_resnet, tiny_sam, tmp_path_factory) -> dict[str, BenchmarkOptions]:
    models = {"encoders": (f"{tiny_vit},{tiny_resnet}",), "segmenter": tiny_sam}
    return run_on_both(shards, tmp_path_factory.mktemp("drawings"), METHODS, **models)


def predictions(options: BenchmarkOptions) -> list[dict]:
    plan = make_plan(options)
    parts = [plan.store.get(plan.address(p, s)) for p in plan.predictions for s in plan.shards]
    return [p for part in parts for row in part.column("predictions").to_pylist() for p in row]


def test_scores_agree_and_flips_are_counted(runs, capsys) -> None:
    assert_scores_agree(runs, capsys)


def test_scores_under_attention_agree(shards, tiny_vit, tmp_path: Path, capsys) -> None:
    assert_scores_agree(run_on_both(shards, tmp_path, ATTENTION, encoders=(tiny_vit,)), capsys)


def assert_scores_agree(runs: dict[str, BenchmarkOptions], capsys) -> None:
    both = [predictions(runs[device]) for device in ("cpu", "cuda")]
    worst, flips = 0.0, 0
    for first, second in zip(*both, strict=True):
        assert first["expression_id"] == second["expression_id"]
        scores = [np.array([s for s in p["scores"] if s is not None]) for p in (first, second)]
        worst = max(worst, float(np.abs(scores[0] - scores[1]).max()))
        flips += first["predicted_region_id"] != second["predicted_region_id"]
    with capsys.disabled():
        print(
            f"\nGPU against CPU: largest score difference {worst:.2e}, {flips} of {len(both[0])} choices flip"
        )
    assert worst < SCORE_ATOL
    assert flips <= 0.01 * len(both[0])


def test_masks_agree(runs) -> None:
    overlaps = []
    plans = [make_plan(runs[device]) for device in ("cpu", "cuda")]
    segmenter = next(p.segmenter for p in plans[0].predictions if p.segmenter)
    for shard in plans[0].shards:
        address = plans[0].address(Masks(segmenter=segmenter), shard)
        first, second = (plan.store.get(address).column("masks").to_pylist() for plan in plans)
        for masks in zip(first, second, strict=True):
            pairs = [(a, b) for a, b in zip(*masks, strict=True) if a is not None]
            for a, b in pairs:
                one, other = (decode_masks([m], tuple(m["size"])) for m in (a, b))
                if one.any() or other.any():
                    overlaps.append(float(mask_iou(one, other)[0, 0]))
    assert len(overlaps) > 10
    assert np.mean(overlaps) > 0.99


def test_the_gpu_encodes_images_together(runs) -> None:
    newest = max((Path(runs["cuda"].out) / "runs").iterdir())
    counts = json.loads((newest / "run.json").read_text())["counts"]
    plan = make_plan(runs["cuda"])
    images = [row for shard in plan.shards for row in read_shard(plan.data, shard).to_pylist()]
    regions = sum(len(valid_regions(row)) for row in images)
    assert counts["images encoded"] == len(images) == 6
    # By two encoders: five drawings that differ by region, and the raw image.
    assert counts["views encoded"] == 2 * (5 * regions + len(images))
