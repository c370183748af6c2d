"""Checkpoint files: opened without executing anything in them, and compared with a model."""

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


def read_state(path: str) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint, safetensors or torch's own format; nothing in it is executed.

    Values stay on disk until they are used, except in torch's format from before 2020.

    Raises:
        ValueError: naming the file and the reason: cut, not a checkpoint, or holding anything but tensors.
    """
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
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]  # a checkpoint of a training run
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path}: {name!r} is a {type(value).__name__}, not a tensor")
    wrapped = bool(content) and all(name.startswith("module.") for name in content)
    return {name.removeprefix("module.") if wrapped else name: value for name, value in content.items()}


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
    return "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names)


def _reason(problem: Exception) -> str:
    """Return the telling line of an error; torch's advice to allow code is not passed on."""
    lines = str(problem).splitlines() or [type(problem).__name__]
    told = next((line for line in lines if "nsupported" in line), lines[0])
    return told.split(". ")[0].strip()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES_SHOWN]) + (" ..." if len(names) > MAX_NAMES_SHOWN else "")
