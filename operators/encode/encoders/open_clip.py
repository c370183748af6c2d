"""CLIP models of open_clip: built by the library, loaded by us from a verified file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from operators.encode.clip_causes import likely_cause
from operators.encode.encoder import EncoderKind, register
from operators.encode.text_batches import text_batches
from operators.encode.word_tokenizer import WordTokenizer
from operators.foveal import Attention
from operators.foveal.features import region_features
from operators.foveal.tower import Pictures, VisionTower
from operators.methods.models import Encoder, known_words
from operators.weights.flops import count_flops
from operators.weights.state_dict import misfits, read_state
from operators.weights.unset import unset_parameters

SCALARS = ("logit_scale", "logit_bias")


def build_clip(architecture: str, quick_gelu: bool, device: str = "cpu") -> torch.nn.Module:
    """Build an architecture without weights; on `meta` nothing is allocated.

    Args:
        architecture: open_clip's model name, or a `model_cfg` as JSON.
        quick_gelu: activation of the transformer blocks.
        device: where the parameters are made.

    Raises:
        ValueError: if open_clip does not know the architecture.
    """
    is_config = architecture.startswith("{")
    config = json.loads(architecture) if is_config else open_clip.get_model_config(architecture)
    if config is None:
        raise ValueError(f"open_clip has no model named {architecture!r}")
    config["quick_gelu"] = quick_gelu
    config["text_cfg"]["hf_model_pretrained"] = config["vision_cfg"]["timm_model_pretrained"] = False
    custom_text = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    if "multimodal_cfg" in config:
        raise ValueError(f"{architecture!r} generates captions (CoCa); only contrastive models are supported")
    model_class = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
    with torch.device(device):
        return model_class(**config)


def make_tokenizer(architecture: str) -> Any:
    """Return the tokenizer of an open_clip model name, or of a `model_cfg` as JSON."""
    if not architecture.startswith("{"):
        return open_clip.get_tokenizer(architecture)
    context = json.loads(architecture)["text_cfg"].get("context_length")
    words = known_words(architecture)
    if words:
        return WordTokenizer(words, context)
    return open_clip.get_tokenizer("ViT-B-32", context_length=context)


def read_clip_state(path: str, model: torch.nn.Module) -> dict[str, Tensor]:
    """Read a checkpoint in any layout open_clip accepts and check that it fits the model exactly.

    Nothing in the file is executed. Unlike open_clip, position embeddings of another size are refused rather
    than resized. The model may lie on `meta`.

    Raises:
        ValueError: naming the file and the missing, unexpected or misshapen parameters.
    """
    state = convert_state_dict(model, read_state(path))
    expected = model.state_dict()
    if "positional_embedding" in state and "positional_embedding" not in expected:
        state = convert_to_custom_text_state_dict(state)
    for name in SCALARS:
        if name in state and name in expected and state[name].numel() == 1:
            state[name] = state[name].reshape(expected[name].shape)
    state = {name: value for name, value in state.items() if not name.endswith("position_ids")}
    problems = misfits(expected, state)
    if problems:
        cause = likely_cause(state)
        raise ValueError(
            f"{path} does not fit the architecture; " + "; ".join(filter(None, [cause, problems]))
        )
    return state


class ClipModel:
    """A CLIP model with its weights, in evaluation mode.

    Attributes:
        size_px: side of the square input.
        dimensions: length of a feature vector.
        logit_scale: factor of the cosine (100 for OpenAI's models).
        mean, std: of the input, RGB in 0..1.
        interpolation: filter of the input's square.
    """

    def __init__(self, encoder: Encoder, weights_path: str, device: str) -> None:
        with unset_parameters():
            model: Any = build_clip(encoder.architecture, encoder.quick_gelu)
        model.load_state_dict(read_clip_state(weights_path, model))
        # Before the cast: bfloat16 makes 98.9 of exp(ln 100).
        self.logit_scale = float(model.logit_scale.detach().float().exp())
        self.dtype = getattr(torch, encoder.dtype)
        self.device = torch.device(device)
        self.model = model.eval().requires_grad_(False).to(self.device, self.dtype)
        size = model.visual.image_size
        self.size_px: int = size[0] if isinstance(size, tuple) else size
        with torch.inference_mode():
            blank = torch.zeros(1, 3, self.size_px, self.size_px, device=self.device, dtype=self.dtype)
            self.dimensions: int = self.model.encode_image(blank).shape[1]
        self.mean, self.std, self.interpolation = encoder.mean, encoder.std, encoder.interpolation
        self.tokenizer = make_tokenizer(encoder.architecture)
        self._causal = isinstance(model, open_clip.CLIP) and model.text_pool_type == "argmax"

    @torch.inference_mode()
    def encode_images(self, views: Tensor) -> Tensor:
        """Encode normalised views (N, 3, size_px, size_px) to float32 features (N, D), unnormalised."""
        return self.model.encode_image(views.to(self.device, self.dtype)).float().cpu()

    @cached_property
    def tower(self) -> VisionTower:
        """The image tower taken apart. Raises ValueError if it has no class token that can be masked."""
        return VisionTower(self.model.visual)

    @torch.inference_mode()
    def encode_regions(
        self, attention: Attention, drawn: Pictures, raw: Pictures | None, rows_RL: Tensor
    ) -> Tensor:
        """Encode regions under an attention setting (`operators.foveal.features.region_features`).

        Returns float32 features (R, D), unnormalised, on the CPU.
        """
        drawn, raw = self._here(drawn), self._here(raw) if raw else None
        rows_RL = rows_RL.to(self.device)
        return region_features(self.tower, attention, drawn, raw, rows_RL).float().cpu()

    def _here(self, pictures: Pictures) -> Pictures:
        views, picture_R = pictures
        return Pictures(views.to(self.device, self.dtype), picture_R.to(self.device))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode prompted strings to float32 features (N, D), unnormalised.

        With a causal text tower most of the padding is cut off, which changes nothing but the cost; text
        beyond the context length is truncated by the tokenizer. On CPU a vector does not depend on what is
        encoded with it (`operators.encode.text_batches`).
        """
        features_ND = torch.empty(len(texts), self.dimensions)
        if not texts:
            return features_ND
        tokens_NL = self.tokenizer(list(texts)).to(self.device)
        whole = torch.full_like(tokens_NL[:, 0], tokens_NL.shape[1])
        lengths_N = tokens_NL.argmax(dim=-1) + 1 if self._causal else whole
        encode = self._encode_trimmed if self._causal else self.model.encode_text
        for places, batch in text_batches(tokens_NL, lengths_N):
            features_ND[places.cpu()] = encode(batch)[: len(places)].float().cpu()
        return features_ND

    def count_truncated(self, texts: Sequence[str]) -> int:
        """Count the texts that do not fit the context: the model does not see their end."""
        context = self.tokenizer.context_length
        kept = self.tokenizer(list(texts))
        # With room for one more token a text that was cut goes on where its end mark was put.
        roomier = self.tokenizer(list(texts), context_length=context + 1)[:, :context]
        return int((kept != roomier).any(dim=1).sum())

    def _encode_trimmed(self, tokens_NL: Tensor) -> Tensor:
        model, length = self.model, tokens_NL.shape[1]
        x = model.token_embedding(tokens_NL).to(self.dtype) + model.positional_embedding[:length].to(
            self.dtype
        )
        mask = model.attn_mask
        x = model.ln_final(model.transformer(x, attn_mask=None if mask is None else mask[:length, :length]))
        x = x[torch.arange(len(x), device=x.device), tokens_NL.argmax(dim=-1)]
        projection = model.text_projection
        return projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection


def require_clip_fits(path: str, architecture: str, quick_gelu: bool) -> None:
    """Check that a file holds the parameters of a CLIP architecture and nothing else.

    Raises:
        ValueError: naming the file and what does not fit.
    """
    read_clip_state(path, build_clip(architecture, quick_gelu, device="meta"))


def _require_fits(encoder: Encoder, path: str) -> None:
    require_clip_fits(path, encoder.architecture, encoder.quick_gelu)


def _attention_depth(encoder: Encoder) -> int:
    model: Any = build_clip(encoder.architecture, encoder.quick_gelu, device="meta")
    return len(VisionTower(model.visual).blocks)


def _unknown_words(encoder: Encoder, texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if encoder.words:
        found = make_tokenizer(encoder.architecture).unknown_words(texts)
    return found


def _flops(encoder: Encoder) -> dict[str, float]:
    model: Any = build_clip(encoder.architecture, encoder.quick_gelu, device="meta")
    size = model.visual.image_size
    sides_px = size if isinstance(size, tuple) else (size, size)
    context = make_tokenizer(encoder.architecture).context_length
    return {
        "view": count_flops(lambda: model.encode_image(torch.zeros(1, 3, *sides_px))),
        "token": count_flops(lambda: model.encode_text(torch.zeros(1, context, dtype=torch.long))) / context,
    }


register("open_clip", EncoderKind(ClipModel, _require_fits, _attention_depth, _unknown_words, flops=_flops))
