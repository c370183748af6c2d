"""Randomly initialised checkpoints of real architectures, in the real formats, labelled as random.

They show that everything loads and runs at real size where no weights can be had; accuracies made with them
are chance, and tables say so.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra import storage
from infra.options import Exit, Options
from infra.shards import InputError
from infra.weights import QUICK_GELU_SUFFIX, write_card


class RandomWeightsOptions(Options):
    """Write randomly initialised checkpoints, each with a card that says so."""

    models: tuple[str, ...]
    """open_clip architectures (ViT-B-32) to write as safetensors."""
    out: str
    """Folder for the checkpoints."""
    seed: Annotated[int, Field(ge=0)] = 0


def write_random_weights(options: RandomWeightsOptions) -> int:
    """Write the checkpoints and return the exit status.

    Raises:
        InputError: for an architecture that is not known.
    """
    import open_clip
    import torch
    from safetensors.torch import save

    from operators.clip_model import build_clip

    for name in options.models:
        if name not in open_clip.list_models():
            raise InputError(f"--models {name}: open_clip has no such model")
    for name in options.models:
        torch.manual_seed(options.seed)
        model = build_clip(name, quick_gelu=QUICK_GELU_SUFFIX in name)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        path = storage.join(storage.absolute(options.out), f"{name}.safetensors")
        storage.write_bytes(path, save(state))
        maker = f"pipelines/random_weights.py --seed {options.seed}"
        card = write_card(
            path, label="random", architecture=name, quick_gelu=QUICK_GELU_SUFFIX in name, made_by=maker
        )
        print(f"{name}: {path}, SHA-256 {card.sha256}", flush=True)
    return Exit.COMPLETE
