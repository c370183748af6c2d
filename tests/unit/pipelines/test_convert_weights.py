import json
import warnings
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.weights.encoders import resolve_encoder
from infra.weights.fetch import file_facts
from infra.weights.published_checkpoints import PUBLISHED, Published
from operators.encode.encoders.open_clip import require_clip_fits
from pipelines import convert_weights as conversion
from pipelines.convert_weights import ConvertWeightsOptions, convert_weights


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VPB_CACHE", str(tmp_path / "cache"))


def write_archive(path: Path) -> Published:
    """Write a tiny CLIP as OpenAI does: a TorchScript archive, some halves, settings beside the weights."""
    import open_clip
    import tiny_models
    import torch

    torch.manual_seed(0)
    model = open_clip.CLIP(**json.loads(json.dumps(tiny_models.VIT))).eval()
    model.visual.conv1.half()
    model.attn_mask = model._buffers.pop("attn_mask")  # torch.jit makes every buffer a persistent one
    model.register_buffer("input_resolution", torch.tensor(64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(model).save(path)
    return Published(
        name=path.name,
        url=f"https://example.org/{path.name}",
        sha256=file_facts(str(path)).sha256,
        architecture=json.dumps(tiny_models.VIT),
        quick_gelu=True,
        storage="torchscript",
    )


def options(source: Path, out: Path) -> ConvertWeightsOptions:
    return ConvertWeightsOptions(source=str(source), out=str(out))


def test_a_published_archive_is_converted_in_a_child_process(tmp_path, capsys):
    import torch
    from safetensors.torch import load_file

    source, out = tmp_path / "tiny.pt", tmp_path / "weights" / "tiny.safetensors"
    known = write_archive(source)
    assert convert_weights(options(source, out), published=(*PUBLISHED, known)) == 0
    converted, original = load_file(out), torch.jit.load(source).state_dict()
    assert converted.keys() == original.keys() - {"input_resolution"}
    assert converted["visual.conv1.weight"].dtype is torch.float16
    assert all(torch.equal(value, original[name]) for name, value in converted.items())
    require_clip_fits(str(out), known.architecture, quick_gelu=True)
    card = json.loads((tmp_path / "weights" / "tiny.safetensors.card.json").read_text())
    assert (card["label"], card["quick_gelu"]) == ("real", True)
    assert known.sha256 in card["made_by"] and card["sha256"] == file_facts(str(out)).sha256
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, out.name + ".card.json"]


def test_an_unknown_archive_is_refused_before_anything_runs(tmp_path, monkeypatch):
    source, out = tmp_path / "mine.pt", tmp_path / "mine.safetensors"
    known = write_archive(source)
    monkeypatch.setattr(conversion, "_run_child", None)
    with pytest.raises(InputError, match=rf"SHA-256 {known.sha256} is none of those of RN50\.pt, .*ViT-B-32"):
        convert_weights(options(source, out))
    assert not out.exists()


def test_what_does_not_fit_leaves_no_file(tmp_path):
    source, out = tmp_path / "tiny.pt", tmp_path / "weights" / "tiny.safetensors"
    known = write_archive(source).model_copy(update={"architecture": "ViT-B-32"})
    with pytest.raises(InputError, match=r"tiny\.pt: .*does not fit the architecture; .* missing"):
        convert_weights(options(source, out), published=(known,))
    assert list(out.parent.iterdir()) == []


def test_a_child_that_fails_is_told(tmp_path):
    source = tmp_path / "broken.pt"
    source.write_bytes(b"PK nonsense")
    known = PUBLISHED[0].model_copy(update={"sha256": file_facts(str(source)).sha256})
    with pytest.raises(InputError, match=r"broken\.pt: conversion failed: .+"):
        convert_weights(options(source, tmp_path / "x.safetensors"), published=(known,))


def test_bad_options(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        convert_weights(options(tmp_path / "a.pt", tmp_path / "a.pt"))
    with pytest.raises(InputError, match="does not exist"):
        convert_weights(options(tmp_path / "a.pt", tmp_path / "a.safetensors"))


def test_the_refusal_of_an_archive_names_the_command(tmp_path, monkeypatch):
    from infra.weights import sources as weights

    source = tmp_path / "ViT-B-32.pt"
    known = write_archive(source)
    with pytest.raises(InputError, match=f"TorchScript archive, .* {known.sha256} is none of the published"):
        resolve_encoder(f"ViT-B-32:{source}")
    monkeypatch.setattr(weights, "with_hash", lambda sha256: known)
    command = f"python -m pipelines.convert_weights --source {source} --out weights/ViT-B-32.safetensors"
    with pytest.raises(InputError, match=command):
        resolve_encoder(f"ViT-B-32:{source}")


def test_the_command(run_recipe, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"anything")
    command = [
        "-m",
        "pipelines.convert_weights",
        "--source",
        str(tmp_path / "a.pt"),
        "--out",
        "a.safetensors",
    ]
    assert "is none of those of RN50.pt" in run_recipe(*command, check=2).stderr
