"""The models that come with the project: what their records say of them is true."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from infra.run.command_line import run_job
from infra.weights.bundled_models import FOLDER, PREFIX, bundled_folder
from infra.weights.encoders import resolve_encoder
from infra.weights.segmenters import resolve_segmenter
from infra.weights.sources import local_file
from operators.encode.encoders.open_clip import ClipModel
from operators.training import TASKS
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions
from pipelines.train_shapes import MODELS

MAX_BYTES = {"clip-shapes": 8_000_000, "sam-shapes": 4_000_000}


@pytest.mark.parametrize("name", MODELS)
def test_the_record_is_of_the_file(name: str) -> None:
    (weights,) = (FOLDER / name).glob("*.safetensors")
    record = json.loads((FOLDER / name / "training.json").read_text())
    assert record["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert record["steps"] == record["history"][-1]["step"] == TASKS[name].steps
    assert record["seconds"] > 0
    assert weights.stat().st_size < MAX_BYTES[name]


def test_names_resolve_to_the_same_on_every_node() -> None:
    encoder, segmenter = resolve_encoder("clip-shapes"), resolve_segmenter("sam-shapes")
    for model in (encoder, segmenter):
        assert model.weights.label == "tiny"
        assert model.weights.source.startswith(PREFIX + model.name)
        assert Path(local_file(model.weights)).is_relative_to(FOLDER)
    assert segmenter.min_area_px == 25
    assert "circle" in encoder.words and resolve_encoder(bundled_folder("clip-shapes") or "") == encoder
    assert bundled_folder("../bundled") is bundled_folder("") is bundled_folder("nothing") is None


def test_the_small_clip_has_late_layers_and_a_fine_grid() -> None:
    encoder = resolve_encoder("clip-shapes")
    model = ClipModel(encoder, local_file(encoder.weights), "cpu")
    visual = model.model.visual
    assert len(visual.transformer.resblocks) >= 8
    assert min(visual.grid_size) >= 12
    assert 96 <= model.size_px <= 144


def test_a_dataset_with_other_words_is_refused_before_anything_is_computed(drawn, tmp_path, capsys) -> None:
    from pipelines.refcoco_full import benchmark

    shards, out = str(tmp_path / "shards"), str(tmp_path / "out")
    source = ["--refer", str(drawn / "refer"), "--images", str(drawn / "images"), "--out", shards]
    assert run_job(PrepareOptions, prepare, [*source, "--executor", "inline"]) == 0
    flags = ["--data", shards, "--out", out, "--encoders", "clip-shapes", "--executor", "inline"]
    assert run_job(BenchmarkOptions, benchmark, [*flags, "--methods", "P", "--proposals", "gold"]) == 2
    told = capsys.readouterr().err
    assert "encoder clip-shapes knows" in told and "blob" in told and "use a real encoder" in told
    assert not list(Path(out).rglob("*.parquet"))
