"""CLIP and SAM models with their weights, as frozen values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from operators.pixels.clip_input import CLIP_MEAN, CLIP_STD, Filter
from operators.rows.fingerprint import Value, without_defaults


class Weights(Value):
    """A checkpoint, known by its content.

    Attributes:
        source: where to load it from: a path or URL.
        sha256: of the file.
        label: `real` (a published file), `tiny`, `random`, or `unverified` (a file that nothing vouches for).
        tag: open_clip's name of a published training (`openai`), empty for files.
        settings_from: what decided the settings that go with the weights, activation, mean, std and filter.
    """

    source: str
    sha256: str
    label: Literal["real", "tiny", "random", "unverified"]
    tag: str = ""
    settings_from: str = ""


def known_words(architecture: str) -> tuple[str, ...]:
    """Return the words of a `model_cfg` (JSON) whose vocabulary was cut down to them; none for all others."""
    config = json.loads(architecture) if architecture.startswith("{") else {}
    return tuple(config.get("text_cfg", {}).get("tokenizer_kwargs", {}).get("words", ()))


class Encoder(Value):
    """A CLIP model of open_clip with its weights.

    Attributes:
        name: as the user wrote the architecture (`ViT-B-32`).
        architecture: open_clip's model name; or its `model_cfg` as JSON for a model folder.
        quick_gelu: whether the weights were trained with QuickGELU.
        mean, std: of the input, RGB in 0..1, as the weights were trained.
        interpolation: filter with which pictures become the input's square, as the weights were trained.
        dtype: of weights and activations.
        kind: which of `operators.encode.encoders` loads it.
    """

    name: str
    architecture: str
    weights: Weights
    quick_gelu: bool
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    kind: str = "open_clip"
    interpolation: Filter = "bicubic"

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        later = {"kind": "open_clip", "interpolation": "bicubic"}
        return without_defaults(serialize(self), later)

    def told(self) -> str:
        """Return the settings that decide numbers without anybody seeing them, and what decided them."""
        normalisation = "CLIP's mean and std"
        if (self.mean, self.std) != (CLIP_MEAN, CLIP_STD):
            normalisation = f"mean {_numbers(self.mean)}, std {_numbers(self.std)}"
        activation = "QuickGELU" if self.quick_gelu else "GELU"
        decided = f" ({self.weights.settings_from})" if self.weights.settings_from else ""
        return f"{activation}, {normalisation}, {self.interpolation}, {self.dtype}{decided}"

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words that a model with a cut vocabulary knows; none for all others."""
        return known_words(self.architecture)


class Segmenter(Value):
    """A SAM model with its weights.

    Attributes:
        architecture: vit_b, vit_l, vit_h, or a smaller one as JSON (`operators.segment.sam_architectures`).
        frame_px: long side of the frame that masks live in.
        min_area_px: holes and islands below this area are removed, pixels of the frame; 0 for none.
        kind: which of `operators.segment.segmenters` loads it.
    """

    name: str
    architecture: str
    weights: Weights
    frame_px: int = 1024
    min_area_px: int = 400
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    kind: str = "sam"

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(serialize(self), {"kind": "sam"})


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def encoders_label(encoders: Sequence[Encoder]) -> str:
    """Return the names of an ensemble as papers print them (`ViT-B-32,RN50x16`)."""
    return ",".join(encoder.name for encoder in encoders) or "–"


def weights_label(models: Sequence[Encoder | Segmenter]) -> str:
    """Return what kind of weights some models have; several kinds are joined."""
    return "+".join(dict.fromkeys(model.weights.label for model in models)) or "none"
