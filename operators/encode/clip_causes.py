"""Why a checkpoint does not fit a CLIP architecture, in words: the likely cause, from its names and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import open_clip
from torch import Tensor

MARKS = {
    "visual.conv1_alpha.weight": "Alpha-CLIP, whose encoder takes a mask beside the picture",
    "logit_bias": "SigLIP or another model with sigmoid scores",
}


def likely_cause(state: Mapping[str, Tensor]) -> str:
    """Return a sentence about what a state dict seems to be; empty if nothing is recognised.

    Args:
        state: of the checkpoint, after wrappers and prefixes were taken off.
    """
    if any(name.startswith(("vision_model.", "text_model.")) for name in state):
        return (
            "this is the layout of the transformers library, which open_clip does not read; give the same "
            "weights as open_clip has them: a tag (ViT-B-32:openai) or open_clip's own file"
        )
    for name, what in MARKS.items():
        if name in state:
            return f"this is {what}"
    size = _size(state)
    same = [name for name, other in _known_sizes().items() if size and other == size]
    return f"by its sizes this is a {' or '.join(same)}" if same else ""


class _Sizes(NamedTuple):
    """What tells vision transformers of CLIP apart."""

    width: int
    patch_px: int
    tokens: int
    depth: int
    text_tokens: int
    text_width: int
    text_depth: int
    dimensions: int


def _size(state: Mapping[str, Tensor]) -> _Sizes | None:
    try:
        width, _, patch, _ = state["visual.conv1.weight"].shape
        tokens, _ = state["visual.positional_embedding"].shape
        text_tokens, text_width = state["positional_embedding"].shape
        _, dimensions = state["text_projection"].shape
    except (KeyError, ValueError):
        return None
    depth, text_depth = (_depth(state, f"{tower}transformer.resblocks.") for tower in ("visual.", ""))
    return _Sizes(width, patch, tokens, depth, text_tokens, text_width, text_depth, dimensions)


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


@cache
def _known_sizes() -> dict[str, _Sizes]:
    """Return the sizes of open_clip's plain vision transformers by name."""
    sizes: dict[str, _Sizes] = {}
    for name in open_clip.list_models():
        config: Any = open_clip.get_model_config(name)
        vision, text = config["vision_cfg"], config["text_cfg"]
        patch, side = vision.get("patch_size"), vision.get("image_size")
        if isinstance(patch, int) and isinstance(side, int) and not name.endswith("-quickgelu"):
            sizes[name] = _Sizes(
                *(vision.get("width", 0), patch, 1 + (side // patch) ** 2, vision.get("layers", 0)),
                *(text.get("context_length", 77), text.get("width", 0), text.get("layers", 0)),
                config["embed_dim"],
            )
    return sizes
