"""Write randomly initialised checkpoints of real architectures, to try everything without a download.

Example: python pipelines/random_weights.py --models ViT-B-32 RN50 --out weights
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from pydantic import Field

from infra.errors import InputError
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.weights.checkpoint_card import write_card
from infra.weights.fetch import written_whole
from infra.weights.segmenters import SEGMENTERS
from infra.weights.sources import QUICK_GELU_SUFFIX

SAM_PREFIX = "sam_"
SEEDS = 2**32


class RandomWeightsOptions(Options):
    """Write random checkpoints, each with a card that says so."""

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """open_clip architectures (ViT-B-32), written as safetensors; sam_vit_b, sam_vit_l, sam_vit_h as .pth."""
    out: str
    """Folder on this machine for the checkpoints."""
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0


def write_random_weights(options: RandomWeightsOptions) -> int:
    """Write the checkpoints and return the exit status.

    Raises:
        InputError: for an architecture that is not known, or a folder that is not on this machine.
    """
    if not storage.is_local(options.out):
        raise InputError(f"--out {options.out}: name a folder on this machine")
    storage.require_writable(options.out)
    skeletons = {name: _skeleton(name) for name in options.models}
    for name, skeleton in skeletons.items():
        suffix = ".pth" if _is_sam(name) else ".safetensors"
        path = storage.join(storage.absolute(options.out), name + suffix)
        with written_whole(path) as temporary:
            _write(temporary, _fill(skeleton.state_dict(), options.seed), as_torch=_is_sam(name))
        card = write_card(
            path,
            label="random",
            architecture=name.removeprefix(SAM_PREFIX),
            quick_gelu=QUICK_GELU_SUFFIX in name,
            made_by=f"pipelines/random_weights.py --seed {options.seed}",
        )
        print(f"{name}: {path}, SHA-256 {card.sha256}", flush=True)
    return Exit.COMPLETE


def _is_sam(name: str) -> bool:
    return name.removeprefix(SAM_PREFIX) in SEGMENTERS


def _skeleton(name: str) -> Any:
    """Build a model on `meta`: names, shapes and types of its parameters, without memory."""
    from operators.encode.encoders.open_clip import build_clip
    from operators.segment.sam_architectures import build_sam

    try:
        if _is_sam(name):
            return build_sam(name.removeprefix(SAM_PREFIX), device="meta")
        return build_clip(name, quick_gelu=QUICK_GELU_SUFFIX in name, device="meta")
    except Exception as problem:  # libraries refuse what they cannot build in many ways
        raise InputError(f"--models {name}: {problem}") from problem


def _fill(expected: dict[str, Any], seed: int) -> dict[str, Any]:
    """Make well-conditioned values for every parameter of a state dict."""
    import torch

    from operators.weights.recipe_weights import fill_state_dict

    made = fill_state_dict({name: tuple(value.shape) for name, value in expected.items()}, seed)
    return {name: torch.from_numpy(made[name]).to(value.dtype) for name, value in expected.items()}


def _write(path: str, state: dict[str, Any], as_torch: bool) -> None:
    import torch
    from safetensors.torch import save_file

    if as_torch:
        torch.save(state, path)
    else:
        save_file(state, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(RandomWeightsOptions, write_random_weights, argv)


if __name__ == "__main__":
    sys.exit(main())
