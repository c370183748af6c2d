"""`--retry-quarantined` makes anew what was set aside while running, and only that."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from scenes import scene, write

import operators.encode.images
import operators.segment.operator
from infra.run.options import Exit
from operators.encode.encoders.open_clip import ClipModel
from operators.pixels.images import ImageError
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark, make_plan

IMAGES_PER_SHARD = 2
IMAGES = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("retry")
    scenes = [scene(number) for number in range(IMAGES)]
    scenes[1].sentences[0][0] = "  "
    scenes[7].detections = [[1.0, 1.0, 0.0, 0.0]]
    out = str(folder / "shards")
    sources = write(folder / "source", scenes)
    prepare(PrepareOptions(**sources, out=out, executor="inline", images_per_shard=IMAGES_PER_SHARD))
    return out


def break_reading(patch: pytest.MonkeyPatch, module: object, number: int) -> None:
    read = module.decode_row  # type: ignore[attr-defined]

    def broken(row: dict):
        if row["image_key"].endswith(f"scene{number:03d}.png"):
            raise ImageError("image.undecodable", "the memory had a bad day")
        return read(row)

    patch.setattr(module, "decode_row", broken)


def poison_batch(patch: pytest.MonkeyPatch, batch: int) -> None:
    """Let one batch of features, which on a CPU is one image, come out as NaN."""
    encode, calls = ClipModel.encode_images, Counter[str]()

    def poisoned(self: ClipModel, views: torch.Tensor) -> torch.Tensor:
        calls["batches"] += 1
        features = encode(self, views)
        return features * float("nan") if calls["batches"] == batch else features

    patch.setattr(ClipModel, "encode_images", poisoned)


def options(data: str, out: Path, models: tuple[str, str], **other: object) -> BenchmarkOptions:
    values = {"data": data, "out": str(out), "encoders": models[:1], "segmenter": models[1]}
    return BenchmarkOptions(**values, methods=("P|D4",), executor="inline", max_quarantined=0.2, **other)


def answers(run: BenchmarkOptions) -> dict[tuple[str, str], dict]:
    plan = make_plan(run)
    return {
        (product.proposals, p["expression_id"]): p
        for product in plan.predictions
        for shard in plan.shards
        for row in plan.store.get(plan.address(product, shard)).column("predictions").to_pylist()
        for p in row
    }


def codes(run: BenchmarkOptions) -> Counter[str]:
    return Counter(p["error"]["code"] for p in answers(run).values() if p["error"])


def parts(out: Path) -> dict[str, int]:
    made = (p for p in out.glob("artifacts/**/*.parquet") if "counts" not in p.parts)
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in made}


def last_counts(out: Path) -> dict[str, int]:
    return json.loads((max((out / "runs").iterdir()) / "run.json").read_text())["counts"]


def test_retry(data: str, tiny_vit, tiny_sam, tmp_path: Path, monkeypatch, capsys, matrix) -> None:
    models = (tiny_vit, tiny_sam)
    clean = options(data, tmp_path / "clean", models)
    assert benchmark(clean) == Exit.COMPLETE
    in_shards = {"text.empty": 2, "regions.invalid": 4}
    assert codes(clean) == in_shards

    out = tmp_path / "out"
    first = options(data, out, models)
    with monkeypatch.context() as patch:
        break_reading(patch, operators.segment.operator, 2)
        break_reading(patch, operators.encode.images, 4)
        poison_batch(patch, 1)  # image 0
        assert benchmark(first) == Exit.QUARANTINE_ABOVE_LIMIT
    found = codes(first)
    assert found == in_shards | {"mask.missing": 8, "image.undecodable": 8, "score.nonfinite": 8}
    before = parts(out)
    assert benchmark(first) == Exit.QUARANTINE_ABOVE_LIMIT
    assert parts(out) == before
    capsys.readouterr()

    retry = first.model_copy(update={"retry_quarantined": True})
    assert benchmark(retry) == Exit.COMPLETE
    printed = capsys.readouterr().out
    assert "set aside while running: 24 expressions; parts made anew: 15" in printed
    assert "set aside when preparing: 6 expressions; mend the input and prepare it again" in printed
    assert answers(retry) == answers(clean)
    after = parts(out)
    assert after.keys() == before.keys()
    renewed = {name for name in before if before[name] != after[name]}
    assert len(renewed) == 15  # 3 shards x (2 predictions + 2 features + 1 masks); never the texts
    assert not any("shard-00003" in name for name in renewed)
    assert last_counts(out)["images segmented"] == 3 * IMAGES_PER_SHARD
    assert last_counts(out)["views encoded"] == 3 * IMAGES_PER_SHARD * 3 * 2

    assert benchmark(retry) == Exit.COMPLETE
    assert parts(out) == after
    assert last_counts(out) == {}
    matrix(
        "retry-quarantined: found while running", "24 expressions, 15 parts made anew once, as undisturbed"
    )
    matrix("retry-quarantined: found when preparing", "6 expressions stay, with advice to prepare again")
