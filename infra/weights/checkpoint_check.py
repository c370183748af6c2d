"""The check before any actor starts: every checkpoint is whole, safe to open, and fits its architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.errors import InputError
from infra.weights.checkpoint_files import remembered
from infra.weights.resolve import local_file
from operators.foveal import Attention, FeatureMask, Replacement, layer_indices
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Predictions
from operators.rows.fingerprint import Value, fingerprint, minor_version

LIBRARIES = ("torch", "open_clip_torch", "segment-anything")


def check_weights(encoders: Iterable[Encoder], segmenters: Iterable[Segmenter]) -> None:
    """Check the checkpoints that a run will load; what was found good before is not opened again.

    Remote files are downloaded to this node. Models are built on the `meta` device, without memory.

    Raises:
        InputError: naming the file, what was expected of it and what was found.
    """
    for encoder in dict.fromkeys(encoders):
        _check(encoder, encoder.weights, f"encoder {encoder.name}")
    for segmenter in dict.fromkeys(segmenters):
        _check(segmenter, segmenter.weights, f"segmenter {segmenter.name}")


def check_attention(products: Iterable[Predictions]) -> None:
    """Check that every encoder can have the attention that methods ask of it; opens no checkpoint.

    Raises:
        InputError: naming the method, the encoder and what it lacks: a class token, or blocks.
    """
    asked = {
        (attention, encoder): product.method.name
        for product in products
        for encoder in product.encoders
        for variant in product.method.variants
        if (attention := variant.attention) is not None
    }
    for (attention, encoder), method in asked.items():
        require_attention(f"method {method!r}", encoder, attention)


def require_attention(told: str, encoder: Encoder, attention: Attention) -> None:
    """Check that an encoder can have an attention setting.

    Raises:
        InputError: beginning with `told`, naming the encoder and what it lacks.
    """
    from operators.encode.clip_model import build_clip
    from operators.foveal.tower import VisionTower

    try:
        visual: Any = build_clip(encoder.architecture, encoder.quick_gelu, device="meta").visual
        depth = len(VisionTower(visual).blocks)
        setting = attention.foveal if isinstance(attention, Replacement) else attention
        if setting is not None and not isinstance(setting, FeatureMask):
            layer_indices(setting.layers, depth)
    except ValueError as problem:
        raise InputError(f"{told}, encoder {encoder.name}: {problem}") from problem


def require_clip_fits(path: str, architecture: str, quick_gelu: bool) -> None:
    """Check that a file holds the parameters of a CLIP architecture and nothing else.

    Raises:
        ValueError: naming the file and what does not fit.
    """
    from operators.encode.clip_model import build_clip, read_clip_state

    read_clip_state(path, build_clip(architecture, quick_gelu, device="meta"))


def _check(model: Encoder | Segmenter, weights: Weights, told: str) -> None:
    path = local_file(weights)
    versions = {name: minor_version(name) for name in LIBRARIES}
    asked = {**_asked(model), "sha256": weights.sha256, "versions": versions}

    def check() -> Mapping[str, Any]:
        try:
            if isinstance(model, Encoder):
                require_clip_fits(path, model.architecture, model.quick_gelu)
            else:
                _require_sam_fits(path, model)
        except OSError:
            raise
        except Exception as problem:  # libraries refuse a bad configuration in many ways
            reason = str(problem) if isinstance(problem, ValueError) else f"{path}: {problem!r}"
            raise InputError(f"{told}: {reason.replace(path, weights.source)}") from problem
        return {"fits": True}

    remembered(f"fits|{fingerprint(asked)}", check)


def _asked(model: Value) -> dict[str, Any]:
    return model.model_dump(mode="json", include={"architecture", "quick_gelu", "frame_px"})


def _require_sam_fits(path: str, segmenter: Segmenter) -> None:
    from operators.segment.sam_architectures import build_sam
    from operators.weights.checkpoint_file import misfits, read_state

    sam = build_sam(segmenter.architecture, device="meta")
    problems = misfits(sam.state_dict(), read_state(path))
    if problems:
        raise ValueError(f"{path} does not fit the architecture; parameters {problems}")
    if sam.image_encoder.img_size != segmenter.frame_px:
        found_px = sam.image_encoder.img_size
        raise ValueError(f"{path} is for a frame of {found_px} px, expected {segmenter.frame_px} px")
