"""Encoders as the user names them, resolved to a SHA-256 without building a model."""

from __future__ import annotations

import json
import os
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.errors import InputError
from infra.files import storage
from infra.weights.bundled_models import bundled_folder, bundled_names
from infra.weights.fetch import adopt, file_facts, remembered
from infra.weights.sources import (
    FILE_SUFFIXES,
    QUICK_GELU_SUFFIX,
    last_part,
    looks_like_file,
    plain_name,
    require_known,
    require_maker_agrees,
    torchscript_refused,
    two_parts,
    weights_of_file,
)
from operators.methods.models import Encoder, Weights

MODEL_FOLDER_CONFIG = "open_clip_config.json"
MODEL_FOLDER_WEIGHTS = "open_clip_model.safetensors"


def resolve_encoder(text: str, dtype: str = "float32") -> Encoder:
    """Resolve `ARCHITECTURE:TAG`, `ARCHITECTURE:FILE_OR_URL`, an open_clip model folder or a bundled name.

    Encoders of other kinds are written `KIND:ARCHITECTURE:FILE_OR_URL` (`operators.encode.encoders`).

    QuickGELU follows the weights: the pretrained tag, the card beside the file, or the folder's config. An
    architecture name that contradicts them is refused. For a file that says nothing the name decides.

    Raises:
        InputError: naming what is unknown, the nearest names, or the contradiction.
    """
    architecture, colon, source = text.partition(":")
    if not colon or source.startswith("//"):
        return _encoder_of_folder(bundled_folder(text) or text, dtype)
    if architecture not in _architectures() and (other := _encoder_of_kind(architecture, source, dtype)):
        return other
    require_known(f"encoder {text!r}: open_clip has no model", architecture, _architectures())
    plain = plain_name(architecture)
    normalisation: dict[str, Any] = {}
    if looks_like_file(source):
        weights, maker = weights_of_file(source)
        require_maker_agrees(f"encoder {text!r}", maker, plain)
        quick = maker.quick_gelu if maker else architecture.endswith(QUICK_GELU_SUFFIX)
    else:
        weights, quick, normalisation = _weights_of_tag(architecture, source)
    if architecture.endswith(QUICK_GELU_SUFFIX) and not quick:
        raise InputError(f"encoder {text!r}: these weights were trained without QuickGELU; write {plain}")
    return Encoder(
        name=plain, architecture=plain, weights=weights, quick_gelu=quick, dtype=dtype, **normalisation
    )


def _encoder_of_kind(kind: str, rest: str, dtype: str) -> Encoder | None:
    """Resolve what follows the name of a kind; None if there is no such kind."""
    from operators.encode.encoder import KINDS  # torch, which the names of open_clip's models do not need

    if kind not in KINDS.all():
        return None
    architecture, source = two_parts(f"encoder {kind}:{rest}", rest)
    weights, _ = weights_of_file(source)
    settings = {"quick_gelu": False, **KINDS.find(kind).settings_of(architecture)}
    name = f"{kind}:{architecture}"
    return Encoder(name=name, architecture=architecture, weights=weights, dtype=dtype, kind=kind, **settings)


def _encoder_of_folder(folder: str, dtype: str) -> Encoder:
    config_url = storage.join(folder, MODEL_FOLDER_CONFIG)
    if folder.endswith(FILE_SUFFIXES) or not storage.exists(config_url):
        near = get_close_matches(folder, [*bundled_names(), *_architectures()], n=3)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise InputError(
            f"encoder {folder!r}: write ARCHITECTURE:TAG (ViT-B-32:openai), ARCHITECTURE:FILE, a folder "
            f"with {MODEL_FOLDER_CONFIG}, or a bundled model{nearest}"
        )
    try:
        content = json.loads(storage.read_bytes(config_url))
        config, preprocessing = dict(content["model_cfg"]), dict(content.get("preprocess_cfg", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InputError(f"{config_url}: no readable model_cfg ({problem!r})") from problem
    weights, _ = weights_of_file(storage.join(folder, MODEL_FOLDER_WEIGHTS))
    quick = bool(config.pop("quick_gelu", False))
    normalisation = {key: preprocessing[key] for key in ("mean", "std") if key in preprocessing}
    return Encoder(
        name=last_part(folder),
        architecture=json.dumps(config, sort_keys=True),
        weights=weights,
        quick_gelu=quick,
        dtype=dtype,
        **normalisation,
    )


def _weights_of_tag(architecture: str, tag: str) -> tuple[Weights, bool, dict[str, Any]]:
    """Download a pretrained tag through open_clip; a tag seen before needs no import of open_clip."""

    def download() -> dict[str, Any]:
        import open_clip

        plain = plain_name(architecture)
        config = open_clip.get_pretrained_cfg(plain, tag) or open_clip.get_pretrained_cfg(architecture, tag)
        if not config:
            tags = open_clip.list_pretrained_tags_by_model(plain)
            near = get_close_matches(tag, tags, n=3, cutoff=0.3) or tags
            raise InputError(f"encoder {architecture}:{tag}: no such tag; nearest: {', '.join(near)}")
        try:
            path = open_clip.download_pretrained(config)
        except Exception as problem:
            raise InputError(f"encoder {architecture}:{tag}: download failed: {problem}") from problem
        facts = file_facts(path)
        if facts.torchscript:
            raise torchscript_refused(path, facts.sha256)
        return {
            "source": _shareable(path),
            "sha256": facts.sha256,
            "quick_gelu": bool(config.get("quick_gelu")),
            "normalisation": {"mean": config["mean"], "std": config["std"]},
        }

    key = f"pretrained|{plain_name(architecture)}|{tag}"
    known = remembered(key, download)
    if storage.is_local(known["source"]) and not os.path.exists(known["source"]):
        known = download()
    weights = Weights(source=known["source"], sha256=known["sha256"], label="real", tag=tag)
    return weights, known["quick_gelu"], known["normalisation"]


def _shareable(path: str) -> str:
    """Return the URL of a file of the Hugging Face cache, so that other nodes can fetch it; else its path."""
    *_, repository, folder, commit, name = ("", "", "", *Path(path).parts)
    if folder != "snapshots" or not repository.startswith("models--"):
        return path
    from huggingface_hub import hf_hub_url

    url = hf_hub_url("/".join(repository.split("--")[1:]), name, revision=commit)
    adopt(path, url)
    return url


@cache
def _architectures() -> tuple[str, ...]:
    """List open_clip's model names from its folder, without importing it (and torch)."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("open_clip_torch is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "model_configs"
    return tuple(sorted(path.stem for path in folder.glob("*.json")))
