"""Encoders as the user names them, resolved to a SHA-256 without building a model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from infra.errors import InputError
from infra.files import storage
from infra.weights.bundled_models import bundled_folder, bundled_names
from infra.weights.fetch import adopt, file_facts, remembered
from infra.weights.hub import go_offline_if_unreachable, offline_advice
from infra.weights.sources import (
    FILE_SUFFIXES,
    GELU_SUFFIX,
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
from operators.pixels.clip_input import Filter

MODEL_FOLDER_CONFIG = "open_clip_config.json"
MODEL_FOLDER_WEIGHTS = "open_clip_model.safetensors"
# What decided the settings of weights, where it was the architecture's name.
BY_NAME = "as its name says"
OPEN_CLIP_SPELLINGS = ("hf-hub", "local-dir")
BY_NAME_ALONE = "assumed: nothing says how it was trained"


def resolve_encoder(text: str, dtype: str = "float32") -> Encoder:
    """Resolve `ARCHITECTURE:TAG`, `ARCHITECTURE:FILE_OR_URL`, an open_clip model folder or a bundled name.

    Encoders of other kinds are written `KIND:ARCHITECTURE:FILE_OR_URL` (`operators.encode.encoders`).

    Activation, mean, std and filter follow the weights: the pretrained tag, the card beside the file, the
    publisher's table or the folder's config. A name that contradicts them is refused. For a file that says
    nothing the name decides, `-quickgelu` or `-gelu` at its end; without either, `silent_choices` asks.

    Raises:
        InputError: naming what is unknown, the nearest names, or the contradiction.
    """
    architecture, colon, source = text.partition(":")
    if not colon or source.startswith("//"):
        return _encoder_of_folder(bundled_folder(text) or text, dtype)
    if plain_name(architecture) not in _architectures() and (
        other := _encoder_of_kind(architecture, source, dtype)
    ):
        return other
    plain = plain_name(architecture)
    if architecture in OPEN_CLIP_SPELLINGS:
        raise InputError(
            f"encoder {text!r}: what is on the hub goes by open_clip's name and tag (ViT-B-32:openai for "
            "openai/clip-vit-base-patch32); a folder that was downloaded is given as it is"
        )
    require_known(f"encoder {text!r}: open_clip has no model", plain, _architectures())
    preprocessing: dict[str, Any] = {}
    if looks_like_file(source):
        weights, maker = weights_of_file(source)
        require_maker_agrees(f"encoder {text!r}", maker, plain)
        quick = maker.quick_gelu if maker else architecture.endswith(QUICK_GELU_SUFFIX)
        decided = maker.told_by if maker else BY_NAME if architecture != plain else BY_NAME_ALONE
    else:
        weights, quick, preprocessing = _weights_of_tag(architecture, source)
        decided = f"the tag {source}"
    if architecture.endswith(QUICK_GELU_SUFFIX) and not quick:
        raise InputError(f"encoder {text!r}: these weights were trained without QuickGELU; write {plain}")
    if architecture.endswith(GELU_SUFFIX) and not architecture.endswith(QUICK_GELU_SUFFIX) and quick:
        raise InputError(f"encoder {text!r}: these weights were trained with QuickGELU; write {plain}")
    return Encoder(
        name=plain,
        architecture=plain,
        weights=weights.model_copy(update={"settings_from": decided}),
        quick_gelu=quick,
        dtype=dtype,
        **preprocessing,
    )


def silent_choices(encoders: Iterable[Encoder]) -> Iterator[str]:
    """Yield what to rule out about encoders whose weights do not say how they were trained."""
    for encoder in encoders:
        if encoder.weights.settings_from == BY_NAME_ALONE:
            file, name = encoder.weights.source, encoder.name
            yield (
                f"nothing says how {file} was trained, so {name} gets GELU; if it is made from OpenAI's, "
                f"write {name}{QUICK_GELU_SUFFIX}:{file}, else {name}{GELU_SUFFIX}:{file} rules that out"
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
        nearest = f"; nearest: {', '.join(near)}" if near else _transformers_hint(folder)
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
    return Encoder(
        name=last_part(folder),
        architecture=json.dumps(config, sort_keys=True),
        weights=weights.model_copy(update={"settings_from": f"its {MODEL_FOLDER_CONFIG}"}),
        quick_gelu=quick,
        dtype=dtype,
        **_preprocessing(preprocessing, config_url),
    )


def _transformers_hint(folder: str) -> str:
    """Say what to give instead of a folder, or a name on the hub, of the transformers library."""
    if not folder.endswith(FILE_SUFFIXES) and storage.exists(storage.join(folder, "config.json")):
        return "; this folder is of the transformers library: give the tag of the same weights in open_clip"
    if folder.count("/") == 1 and not folder.startswith((".", "/")):
        return "; a name on the Hugging Face hub? openai/clip-vit-base-patch32 is ViT-B-32:openai here"
    return ""


def _preprocessing(config: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return mean, std and filter of a preprocessing configuration of open_clip, as far as it has them."""
    found = {key: config[key] for key in ("mean", "std", "interpolation") if config.get(key) is not None}
    if found.get("interpolation", "bicubic") not in get_args(Filter):
        raise InputError(
            f"{place}: interpolation {found['interpolation']!r} is none of {', '.join(get_args(Filter))}"
        )
    return found


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
        offline = go_offline_if_unreachable()
        try:
            path = open_clip.download_pretrained(config)
        except Exception as problem:
            said = "the hub does not answer" if offline else str(problem).splitlines()[0]
            repository = str(config.get("hf_hub") or "").rstrip("/")
            advice = offline_advice(repository, "open_clip_model.safetensors", architecture)
            raise InputError(f"encoder {architecture}:{tag}: download failed: {said}; {advice}") from problem
        facts = file_facts(path)
        if facts.torchscript:
            raise torchscript_refused(path, facts.sha256)
        return {
            "source": _shareable(path),
            "sha256": facts.sha256,
            "quick_gelu": bool(config.get("quick_gelu")),
            "preprocessing": _preprocessing(config, f"encoder {architecture}:{tag}"),
        }

    key = f"pretrained/2|{plain_name(architecture)}|{tag}"
    known = remembered(key, download)
    if storage.is_local(known["source"]) and not os.path.exists(known["source"]):
        known = download()
    weights = Weights(source=known["source"], sha256=known["sha256"], label="real", tag=tag)
    return weights, known["quick_gelu"], known["preprocessing"]


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
