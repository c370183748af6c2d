"""The published model sizes on a GPU, with random weights: that they run, and how fast."""

from __future__ import annotations

import time
from pathlib import Path

import dataset
import pytest
import torch

from infra.dataset.shards import read_shard
from infra.execution.progress import Counts
from infra.run.stages import SHARD_INDEX, EncodeWithClip, SegmentWithSam
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.random_weights import RandomWeightsOptions, write_random_weights
from pipelines.refcoco_full import BenchmarkOptions, make_plan

MODELS = ("ViT-L-14-336", "RN50x16", "sam_vit_h")
METHODS = ("P|D1|D3|D4,S",)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real-size")
    write_random_weights(RandomWeightsOptions(models=MODELS, out=str(folder / "weights")))
    drawn = dataset.write(folder / "drawn", images=24, scale=4)
    common = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip"), "executor": "inline"}
    prepare(PrepareOptions(out=str(folder / "shards"), images_per_shard=8, **common))
    return folder


@pytest.mark.benchmarks
@pytest.mark.real_size
@pytest.mark.timeout(900)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rate_of_the_main_ensemble(prepared: Path, dtype: str, capsys) -> None:
    weights = prepared / "weights"
    pair = f"ViT-L-14-336:{weights}/ViT-L-14-336.safetensors,RN50x16:{weights}/RN50x16.safetensors"
    options = BenchmarkOptions(
        data=str(prepared / "shards"),
        out=str(prepared / dtype),
        methods=METHODS,
        encoders=(pair,),
        segmenter=f"vit_h:{weights}/sam_vit_h.pth",
        device="cuda",
        dtype=dtype,
    )
    plan = make_plan(options)
    for stage in (SegmentWithSam(plan, Counts()), EncodeWithClip(plan, reporter := Counts())):
        seconds, images, views = 0.0, 0, 0
        for shard in plan.shards:  # the first shard loads the models and warms up
            index = torch.full((shard.images,), shard.index, dtype=torch.int32).numpy()
            rows = read_shard(plan.data, shard).append_column(SHARD_INDEX, [index])
            before, started_s = reporter.snapshot().get("views encoded", 0), time.perf_counter()
            stage(rows)
            if shard.index > 0:
                seconds += time.perf_counter() - started_s
                images += shard.images
                views += reporter.snapshot().get("views encoded", 0) - before
        with capsys.disabled():
            name = type(stage).__name__
            print(f"\n{dtype} {name}: {images / seconds:.1f} images/s, {views / seconds:.0f} views/s")
        assert images == 16
    assert all(not plan.missing_features(shard) for shard in plan.shards)
