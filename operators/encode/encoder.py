"""What the stages ask of an encoder, and the kinds of encoders that there are.

To add a kind, put a file into `encoders/` (or into a package of your own that is advertised under the entry
point group `visual_prompt_bench.encoders`) that calls `register`. Users then write
`--encoders KIND:ARCHITECTURE:FILE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from operators.foveal import Attention
from operators.foveal.tower import Pictures, VisionTower
from operators.methods.models import Encoder, Weights
from operators.pixels.clip_input import Filter
from operators.rows.registry import Registry

# Models that a process keeps for its other stages: texts and pictures of an ensemble run after each other.
SHARED = 3
# Gives the local path of verified weights.
OpenWeights = Callable[[Weights], str]


class ImageTextModel(Protocol):
    """A model that turns pictures and texts into vectors of one space, with its weights."""

    @property
    def size_px(self) -> int:
        """Side of the square input."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    @property
    def logit_scale(self) -> float:
        """Factor of the cosine (100 for OpenAI's models)."""

    @property
    def mean(self) -> Sequence[float]:
        """Of the input, RGB in 0..1."""

    @property
    def std(self) -> Sequence[float]:
        """Of the input, RGB in 0..1."""

    @property
    def interpolation(self) -> Filter:
        """Filter with which pictures become the input's square."""

    @property
    def tower(self) -> VisionTower:
        """The image tower taken apart. Raises ValueError if it has no class token that can be masked."""

    @property
    def device(self) -> torch.device:
        """Where the model lies."""

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""

    def encode_images(self, views: Tensor) -> Tensor:
        """Encode normalised views (N, 3, size_px, size_px) to float32 vectors (N, D), unnormalised."""

    def encode_regions(
        self, attention: Attention, drawn: Pictures, raw: Pictures | None, rows_RL: Tensor
    ) -> Tensor:
        """Encode regions under an attention setting to float32 vectors (R, D), unnormalised."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode prompted strings to float32 vectors (N, D), unnormalised."""

    def count_truncated(self, texts: Sequence[str]) -> int:
        """Count the texts of which the model does not see the end."""


@dataclass(frozen=True)
class EncoderKind:
    """How encoders of one kind are loaded and checked.

    Attributes:
        load: builds a model from a checkpoint file on a device.
        require_fits: checks that a file holds the parameters of the encoder and nothing else, without
            building it in memory; raises ValueError naming what does not fit.
        attention_depth: number of blocks that can have an attention setting; raises ValueError if none can.
        unknown_words: texts with the words in them that a small vocabulary lacks.
        settings_of: fields of `Encoder` that an architecture decides, such as mean and std.
        flops: floating-point operations of a `view` and of a `token`; None if that is not known.
    """

    load: Callable[[Encoder, str, str], ImageTextModel]
    require_fits: Callable[[Encoder, str], None]
    attention_depth: Callable[[Encoder], int]
    unknown_words: Callable[[Encoder, Sequence[str]], dict[str, list[str]]]
    settings_of: Callable[[str], dict[str, Any]] = lambda _: {}
    flops: Callable[[Encoder], Mapping[str, float] | None] = lambda _: None


KINDS: Registry[EncoderKind] = Registry(
    "kind of encoder", home="operators.encode.encoders", group="visual_prompt_bench.encoders"
)


def register(name: str, kind: EncoderKind) -> EncoderKind:
    """Make a kind of encoder known. Raises ValueError if its name is taken."""
    return KINDS.add(name, kind)


def kind_of(encoder: Encoder) -> EncoderKind:
    """Return the kind of an encoder. Raises ValueError if there is none of that name."""
    return KINDS.find(encoder.kind)


@lru_cache(maxsize=SHARED)
def load_encoder(encoder: Encoder, weights_path: str, device: str) -> ImageTextModel:
    """Build an encoder from a verified checkpoint file, or return the one that this process has built.

    Raises:
        ValueError: if the file cannot be read or its parameters do not fit.
    """
    return kind_of(encoder).load(encoder, weights_path, device)
