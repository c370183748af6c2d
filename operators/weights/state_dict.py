"""Checkpoint files: opened without executing anything in them, unwrapped, and compared with a model."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

SAFETENSORS = ".safetensors"
MAX_NAMES_SHOWN = 5
# Counters of BatchNorm play no part in inference, and some converters drop them.
OPTIONAL_SUFFIX = "num_batches_tracked"
# Under which names training programs keep the parameters beside optimisers, and what wrappers put before
# their names: parallel training, torch.compile, Lightning, fine-tuners of SAM.
WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.", "sam.")
SAVE_ALONE = "save the state dict alone: torch.save(model.state_dict(), FILE)"
NO_CHECKPOINTS = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
    b"<!doctype": "a web page; the download was answered with HTML instead of the file",
    b"<html": "a web page; the download was answered with HTML instead of the file",
    b"<?xml": "an XML answer of a store instead of the file",
    b"{": "JSON text; a configuration in place of the weights?",
}


def read_state(path: str) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint, safetensors or torch's own format; nothing in it is executed.

    Wrappers of training programs are opened, and prefixes that all names share are taken off. Values stay on
    disk until they are used, except in torch's format from before 2020.

    Raises:
        ValueError: naming the file and the reason: cut, not a checkpoint, or holding anything but tensors.
    """
    _require_content(path)
    try:
        if path.endswith(SAFETENSORS):
            content: Any = load_file(path)
        else:
            mapped = zipfile.is_zipfile(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError:
        raise
    except Exception as problem:  # the readers have no common class of error
        raise ValueError(f"{path} cannot be read as a checkpoint: {_reason(problem)}") from problem
    while isinstance(content, Mapping) and (
        wrapped := [n for n in WRAPPERS if isinstance(content.get(n), Mapping)]
    ):
        content = content[wrapped[0]]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path}: {name!r} is a {type(value).__name__}, not a tensor; {SAVE_ALONE}")
    return _without_prefixes(dict(content))


def misfits(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Say which parameters are missing, unexpected or of another shape; empty if all fit.

    Args:
        expected: the state dict of the model, on any device (`meta` will do).
        found: that of the checkpoint.
    """
    missing = [n for n in expected.keys() - found.keys() if not n.endswith(OPTIONAL_SUFFIX)]
    reshaped = [n for n in expected.keys() & found.keys() if expected[n].shape != found[n].shape]
    problems = {
        "missing": sorted(missing),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": [
            f"{n} is {tuple(found[n].shape)}, expected {tuple(expected[n].shape)}" for n in sorted(reshaped)
        ],
    }
    if problems["missing"] and not expected.keys() & found.keys():
        theirs, ours = (problems["unexpected"] or ["nothing"])[0], problems["missing"][0]
        return f"no parameter has the name that the model has: {theirs} is in the file, {ours} in the model"
    told = [f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names]
    return "parameters " + "; ".join(told) if told else ""


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off what wrappers put before every name, one after the other."""
    shared = [prefix for prefix in PREFIXES if state and all(name.startswith(prefix) for name in state)]
    if not shared:
        return state
    return _without_prefixes({name.removeprefix(shared[0]): value for name, value in state.items()})


def _require_content(path: str) -> None:
    """Tell what is no checkpoint at all from one that was cut. Raises ValueError."""
    with open(path, "rb") as file:
        head = file.read(64).lstrip().lower()
    if not head:
        raise ValueError(f"{path} is empty")
    for start, what in NO_CHECKPOINTS.items():
        if head.startswith(start):
            raise ValueError(f"{path} is {what}")


def _reason(problem: Exception) -> str:
    """Return the telling line of an error; torch's advice to allow code is not passed on."""
    lines = str(problem).splitlines() or [type(problem).__name__]
    refused = next((line for line in lines if "nsupported" in line), "")
    said = (refused or lines[0]).split(". ")[0].strip()
    return said + (f"; {SAVE_ALONE}" if refused else "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES_SHOWN]) + (" ..." if len(names) > MAX_NAMES_SHOWN else "")
