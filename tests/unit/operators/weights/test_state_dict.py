"""Checkpoint files as people save them: wrappers and prefixes come off, what is no checkpoint is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from operators.weights.state_dict import misfits, read_state

FLAT = {"visual.conv1.weight": torch.arange(6.0).reshape(2, 3), "logit_scale": torch.tensor(4.6)}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in FLAT.items()}


@pytest.mark.parametrize(
    "content",
    [
        FLAT,
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("sam."),
        {"epoch": 1, "state_dict": prefixed("_orig_mod.module.")},
        {"pytorch-lightning_version": "2.1", "state_dict": prefixed("model.")},
        {"model": FLAT, "optimizer": {"param_groups": []}, "epoch": 1},
        {"model": {"state_dict": FLAT}},
        {"state_dict": FLAT, "state_dict_ema": {name: value + 1 for name, value in FLAT.items()}},
        {"model_state_dict": FLAT, "loss": 0.1},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, content) -> None:
    torch.save(content, tmp_path / "c.pt")
    found = read_state(str(tmp_path / "c.pt"))
    assert found.keys() == FLAT.keys()
    assert all(torch.equal(found[name], value) for name, value in FLAT.items())


def test_a_prefix_that_some_names_lack_stays(tmp_path: Path) -> None:
    save_file({**prefixed("model."), "other": torch.zeros(1)}, tmp_path / "c.safetensors")
    assert read_state(str(tmp_path / "c.safetensors")).keys() == {*prefixed("model."), "other"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"<HTML>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        (b"<?xml version='1.0'?><Error/>", "XML answer of a store"),
        (b'{"model_type": "clip"}', "JSON text"),
        (b"PK\x03\x04" + bytes(100), "cannot be read as a checkpoint"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, data: bytes, told: str, suffix: str) -> None:
    file = tmp_path / f"c{suffix}"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=told):
        read_state(str(file))


def test_a_whole_module_is_refused_with_what_to_save(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"Linear.*save the state dict alone: torch\.save"):
        read_state(str(tmp_path / "c.pt"))


def test_more_than_tensors_is_refused_with_what_to_save(tmp_path: Path) -> None:
    torch.save({**FLAT, "epoch": 3}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match="'epoch' is a int, not a tensor; save the state dict alone"):
        read_state(str(tmp_path / "c.pt"))


def test_misfits_are_told_in_words() -> None:
    assert misfits(FLAT, FLAT) == ""
    assert misfits(FLAT, {"logit_scale": FLAT["logit_scale"]}) == "parameters 1 missing: visual.conv1.weight"
    both = misfits(FLAT, {"logit_scale": torch.zeros(2), "extra": torch.zeros(1)})
    assert "1 missing: visual" in both and "1 unexpected: extra" in both
    assert "1 of another shape: logit_scale is (2,), expected ()" in both
    none = misfits(FLAT, {"a.b": torch.zeros(1)})
    assert none == (
        "no parameter has the name that the model has: a.b is in the file, logit_scale in the model"
    )
