"""The check before any actor starts: every checkpoint is whole, safe to open, and fits its architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.errors import InputError
from infra.weights.fetch import remembered
from infra.weights.sources import local_file
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
    from operators.encode.encoder import kind_of

    try:
        depth = kind_of(encoder).attention_depth(encoder)
        setting = attention.foveal if isinstance(attention, Replacement) else attention
        if setting is not None and not isinstance(setting, FeatureMask):
            layer_indices(setting.layers, depth)
    except ValueError as problem:
        raise InputError(f"{told}, encoder {encoder.name}: {problem}") from problem


def _check(model: Encoder | Segmenter, weights: Weights, told: str) -> None:
    path = local_file(weights)
    versions = {name: minor_version(name) for name in LIBRARIES}
    asked = {**_asked(model), "sha256": weights.sha256, "versions": versions}

    def check() -> Mapping[str, Any]:
        try:
            _require_fits(model, path)
        except OSError:
            raise
        except Exception as problem:  # libraries refuse a bad configuration in many ways
            reason = str(problem) if isinstance(problem, ValueError) else f"{path}: {problem!r}"
            raise InputError(f"{told}: {reason.replace(path, weights.source)}") from problem
        return {"fits": True}

    remembered(f"fits|{fingerprint(asked)}", check)


def _asked(model: Value) -> dict[str, Any]:
    return model.model_dump(mode="json", include={"kind", "architecture", "quick_gelu", "frame_px"})


def _require_fits(model: Encoder | Segmenter, path: str) -> None:
    if isinstance(model, Encoder):
        from operators.encode import encoder

        encoder.kind_of(model).require_fits(model, path)
    else:
        from operators.segment import segmenter

        segmenter.kind_of(model).require_fits(model, path)
