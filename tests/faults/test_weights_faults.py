"""Checkpoints that are cut, changed, hostile or of another model: exit 2 before any model is built."""

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import fsspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from infra.errors import InputError
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.weights import fetch as fetching
from infra.weights.checkpoint_card import CARD_SUFFIX, write_card
from infra.weights.checkpoint_check import check_weights
from infra.weights.encoders import resolve_encoder
from infra.weights.segmenters import resolve_segmenter
from infra.weights.sources import local_file
from operators.methods.models import Encoder, Segmenter, Weights
from operators.segment.sam_architectures import build_sam

TINY_SAM = json.dumps({"image_size": 64, "width": 32, "depth": 2, "heads": 2, "global_layers": [1]})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("VPB_CACHE", str(folder))
    return folder


@pytest.fixture
def folder(tiny_vit, tmp_path):
    """A model folder of this test's own."""
    return Path(shutil.copytree(tiny_vit, tmp_path / "tiny-vit"))


@pytest.fixture
def checkpoint(folder):
    return folder / "open_clip_model.safetensors"


@pytest.fixture
def state(checkpoint):
    return load_file(checkpoint)


def sam(path: Path, content: object = None) -> Segmenter:
    torch.save(build_sam(TINY_SAM).state_dict() if content is None else content, path)
    return segmenter_of(path)


def segmenter_of(path: Path) -> Segmenter:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = Weights(source=str(path), sha256=sha256, label="unverified")
    return Segmenter(name="tiny-sam", architecture=TINY_SAM, weights=weights, frame_px=64)


def refusal(*models: Encoder | Segmenter) -> str:
    """Run the check as a job does; return the one line it prints."""

    def job(_: Options) -> int:
        encoders = [model for model in models if isinstance(model, Encoder)]
        check_weights(encoders, [model for model in models if isinstance(model, Segmenter)])
        return Exit.COMPLETE

    with pytest.raises(InputError) as refused:
        job(Options())
    assert run_job(Options, job, []) == Exit.BAD_INPUT
    return str(refused.value)


def test_a_file_that_changed_after_it_was_resolved(folder, checkpoint, state):
    encoder = resolve_encoder(str(folder))
    state["logit_scale"] += 1
    save_file(state, checkpoint)
    found = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (
        refusal(encoder)
        == f"checkpoint {checkpoint}: expected SHA-256 {encoder.weights.sha256}, found {found}"
    )


def test_a_file_that_is_gone(folder, checkpoint):
    encoder = resolve_encoder(str(folder))
    checkpoint.unlink()
    assert f"checkpoint {checkpoint} is not on this node" in refusal(encoder)


def test_the_card_of_another_file(folder, checkpoint):
    card = write_card(str(checkpoint), label="random", architecture="ViT-B-32")
    with open(checkpoint, "ab") as file:
        file.write(b"more")
    with pytest.raises(InputError) as refused:
        resolve_encoder(str(folder))
    assert f"{checkpoint}: its card expects SHA-256 {card.sha256}, found " in str(refused.value)


@pytest.mark.parametrize("content", ['{"label": "trusted"}', "not JSON", "[]"])
def test_a_card_that_cannot_be_read(folder, checkpoint, content):
    card = {"sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(), "architecture": "ViT-B-32"}
    text = json.dumps({**card, **json.loads(content)}) if content.startswith("{") else content
    Path(f"{checkpoint}{CARD_SUFFIX}").write_text(text)
    with pytest.raises(InputError, match=r"open_clip_model\.safetensors\.card\.json: (label|content): "):
        resolve_encoder(str(folder))


def test_the_card_names_another_architecture(checkpoint):
    write_card(str(checkpoint), label="random", architecture="RN50")
    with pytest.raises(InputError, match="its card says the weights are for RN50, not ViT-B-32"):
        resolve_encoder(f"ViT-B-32:{checkpoint}")
    with pytest.raises(InputError, match="its card says the weights are for RN50, not vit_b"):
        resolve_segmenter(f"vit_b:{checkpoint}")


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_cut_safetensors_file(folder, checkpoint, share):
    os.truncate(checkpoint, int(share * checkpoint.stat().st_size))
    told = "cannot be read as a checkpoint: " if share else "is empty"
    assert f"{checkpoint} {told}" in refusal(resolve_encoder(str(folder)))


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_cut_torch_file(tmp_path, share, old_format):
    path = tmp_path / "sam.pth"
    torch.save(build_sam(TINY_SAM).state_dict(), path, _use_new_zipfile_serialization=not old_format)
    check_weights([], [segmenter_of(path)])
    os.truncate(path, int(share * path.stat().st_size))
    told = "cannot be read as a checkpoint: " if share else "is empty"
    assert f"{path} {told}" in refusal(segmenter_of(path))


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", ["torch", "old torch", "pickle", "beside tensors"])
def test_a_pickle_payload_is_not_run(tmp_path, kind):
    path, marker = tmp_path / "sam.pth", tmp_path / "was_here"
    payload = Payload(marker)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        content = {"image_encoder.pos_embed": torch.zeros(3), "extra": payload}
        wanted = content if kind == "beside tensors" else payload
        torch.save(wanted, path, _use_new_zipfile_serialization=kind != "old torch")
    message = refusal(segmenter_of(path))
    assert f"{path} cannot be read as a checkpoint: " in message and "system" in message
    assert "weights_only=False" not in message and "Re-running" not in message
    assert not marker.exists()


def test_a_pickle_that_calls_itself_safetensors(folder, checkpoint, tmp_path):
    checkpoint.write_bytes(pickle.dumps(Payload(tmp_path / "was_here")))
    assert "cannot be read as a checkpoint" in refusal(resolve_encoder(str(folder)))
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [([1, 2], "holds a list, not named tensors"), ({"a": 3}, "'a' is a int, not a tensor")],
)
def test_something_else_in_torch_format(tmp_path, content, told):
    assert told in refusal(sam(tmp_path / "sam.pth", content))


def test_parameters_that_do_not_fit_are_named(folder, checkpoint, state):
    del state["visual.proj"]
    state["visual.extra"] = torch.zeros(2)
    state["visual.class_embedding"] = torch.zeros(5)
    save_file(state, checkpoint)
    message = refusal(resolve_encoder(str(folder)))
    assert message.startswith(f"encoder tiny-vit: {checkpoint} does not fit the architecture")
    assert "1 missing: visual.proj;" in message
    assert "1 unexpected: visual.extra;" in message
    assert "1 of another shape: visual.class_embedding is (5,), expected (64,)" in message


def test_weights_of_another_architecture(checkpoint, tiny_resnet, tmp_path):
    assert "does not fit the architecture" in refusal(resolve_encoder(f"ViT-B-32:{checkpoint}"))
    wrong = Path(tiny_resnet) / "open_clip_model.safetensors"
    message = refusal(segmenter_of(Path(shutil.copy(wrong, tmp_path))))
    assert "no parameter has the name that the model has: " in message and "image_encoder." in message


def test_a_configuration_that_no_model_has(folder):
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["wings"] = 2
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert "wings" in refusal(resolve_encoder(str(folder)))


@pytest.mark.parametrize("content", ["", "[]", '{"model_cfg": 3}', "{}"])
def test_an_unreadable_configuration(folder, content):
    (folder / "open_clip_config.json").write_text(content)
    with pytest.raises(InputError, match=r"open_clip_config\.json: no readable model_cfg"):
        resolve_encoder(str(folder))


@pytest.mark.parametrize("content", ["", "[]", "3", '{"image_size": "wide"}', "{}"])
def test_an_unreadable_segmenter_configuration(tmp_path, content):
    (tmp_path / "sam_config.json").write_text(content)
    with pytest.raises(InputError, match=r"sam_config\.json: no readable sizes of a SAM"):
        resolve_segmenter(str(tmp_path))


def test_a_segmenter_configuration_that_no_model_has(tmp_path):
    (tmp_path / "sam_config.json").write_text('{"image_size": 64, "wings": 2}')
    save_file({"a": torch.zeros(1)}, tmp_path / "sam_model.safetensors")
    assert "wings" in refusal(resolve_segmenter(str(tmp_path)))


def test_weights_without_batch_norm_counters_are_accepted(tiny_resnet, tmp_path):
    folder = Path(shutil.copytree(tiny_resnet, tmp_path / "tiny-rn"))
    checkpoint = folder / "open_clip_model.safetensors"
    state = {name: v for name, v in load_file(checkpoint).items() if "num_batches_tracked" not in name}
    save_file(state, checkpoint)
    encoder = resolve_encoder(str(folder))
    check_weights([encoder], [])
    from operators.encode.encoders.open_clip import ClipModel

    assert ClipModel(encoder, local_file(encoder.weights), "cpu").size_px == 96


def test_a_zip_file_with_a_broken_directory(tmp_path):
    path = tmp_path / "sam.pth"
    torch.save({"a": torch.zeros(3)}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\x01\x02", b"PK\x09\x09"))
    with pytest.raises(InputError, match=r"sam\.pth cannot be read as a checkpoint"):
        check_weights([], [resolve_segmenter(f"vit_b:{path}")])


def test_a_remote_file_with_another_hash_is_removed(cache):
    fsspec.filesystem("memory").pipe("/bucket/w.pth", b"not the expected bytes")
    found = hashlib.sha256(b"not the expected bytes").hexdigest()
    weights = Weights(source="memory://bucket/w.pth", sha256="0" * 64, label="real")
    with pytest.raises(InputError) as refused:
        local_file(weights)
    assert str(refused.value) == f"checkpoint {weights.source}: expected SHA-256 {'0' * 64}, found {found}"
    assert list((cache / "checkpoints").iterdir()) == []


def test_a_cut_download_is_tried_again_and_leaves_nothing(cache, monkeypatch):
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/w.pth", b"0123456789")
    attempts = []

    def cut(remote: str, local: str, **_: object) -> None:
        attempts.append(remote)
        Path(local).write_bytes(b"0123")

    monkeypatch.setattr(type(files), "get_file", lambda self, remote, local, **_: cut(remote, local))
    sha256 = hashlib.sha256(b"0123456789").hexdigest()
    with pytest.raises(InputError, match=r"w\.pth: download failed: .*expected 10 bytes, found 4"):
        local_file(Weights(source="memory://bucket/w.pth", sha256=sha256, label="real"))
    assert len(attempts) == fetching.DOWNLOAD_ATTEMPTS
    assert list((cache / "checkpoints").iterdir()) == []


def test_a_file_damaged_in_the_cache_is_fetched_again():
    fsspec.filesystem("memory").pipe("/bucket/w.pth", b"0123456789")
    sha256 = hashlib.sha256(b"0123456789").hexdigest()
    weights = Weights(source="memory://bucket/w.pth", sha256=sha256, label="real")
    path = Path(local_file(weights))
    path.write_bytes(b"damaged")
    assert Path(local_file(weights)).read_bytes() == b"0123456789"


def test_a_remote_file_that_does_not_exist():
    with pytest.raises(InputError, match="download failed"):
        local_file(Weights(source="memory://bucket/absent.pth", sha256="0" * 64, label="real"))
    with pytest.raises(InputError, match=r"memory://bucket/absent\.pth does not exist"):
        resolve_segmenter("vit_b:memory://bucket/absent.pth")
