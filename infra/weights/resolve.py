"""Checkpoints as the user names them, resolved to a SHA-256 without building a model."""

from __future__ import annotations

import json
import os
import socket
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from infra.errors import InputError
from infra.files import storage
from infra.weights.bundled_models import bundled_folder, bundled_names, located_source, portable_source
from infra.weights.checkpoint_card import Card, read_card
from infra.weights.checkpoint_files import FileFacts, adopt, fetch, file_facts, remembered
from infra.weights.published import Published, at_url, segmenter_weights, with_hash
from operators.methods.models import Encoder, Segmenter, Weights

QUICK_GELU_SUFFIX = "-quickgelu"
MODEL_FOLDER_CONFIG = "open_clip_config.json"
MODEL_FOLDER_WEIGHTS = "open_clip_model.safetensors"
SAM_FOLDER_CONFIG = "sam_config.json"
SAM_FOLDER_WEIGHTS = "sam_model.safetensors"
SEGMENTERS = ("vit_b", "vit_l", "vit_h")
PUBLISHED = "published"
MIN_AREA_PX = 400
FILE_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


def resolve_encoder(text: str, dtype: str = "float32") -> Encoder:
    """Resolve `ARCHITECTURE:TAG`, `ARCHITECTURE:FILE_OR_URL`, an open_clip model folder or a bundled name.

    QuickGELU follows the weights: the pretrained tag, the card beside the file, or the folder's config. An
    architecture name that contradicts them is refused. For a file that says nothing the name decides.

    Raises:
        InputError: naming what is unknown, the nearest names, or the contradiction.
    """
    architecture, colon, source = text.partition(":")
    if not colon or source.startswith("//"):
        return _encoder_of_folder(bundled_folder(text) or text, dtype)
    _require_known(f"encoder {text!r}: open_clip has no model", architecture, _architectures())
    plain = _plain(architecture)
    normalisation: dict[str, Any] = {}
    if _looks_like_file(source):
        weights, maker = _weights_of_file(source)
        _require_maker_agrees(f"encoder {text!r}", maker, plain)
        quick = maker.quick_gelu if maker else architecture.endswith(QUICK_GELU_SUFFIX)
    else:
        weights, quick, normalisation = _weights_of_tag(architecture, source)
    if architecture.endswith(QUICK_GELU_SUFFIX) and not quick:
        raise InputError(f"encoder {text!r}: these weights were trained without QuickGELU; write {plain}")
    return Encoder(
        name=plain, architecture=plain, weights=weights, quick_gelu=quick, dtype=dtype, **normalisation
    )


def resolve_segmenter(text: str, dtype: str = "float32") -> Segmenter:
    """Resolve `ARCHITECTURE:published`, `ARCHITECTURE:FILE_OR_URL`, a small SAM's folder or a bundled name.

    Published weights are not downloaded yet. A folder holds `sam_model.safetensors` and `sam_config.json`:
    the sizes of `operators.segment.sam_architectures.SamShape`, and optionally `min_area_px`.

    Raises:
        InputError: naming what is unknown, the nearest names, or the contradiction.
    """
    architecture, colon, source = text.partition(":")
    if not colon or source.startswith("//"):
        return _segmenter_of_folder(bundled_folder(text) or text, dtype)
    _require_known(f"segmenter {text!r}: SAM has no architecture", architecture, SEGMENTERS)
    if source == PUBLISHED:
        source = segmenter_weights(architecture).url
    weights, maker = _weights_of_file(source)
    _require_maker_agrees(f"segmenter {text!r}", maker, architecture)
    return Segmenter(name=f"sam_{architecture}", architecture=architecture, weights=weights, dtype=dtype)


def local_file(weights: Weights) -> str:
    """Return a local path of verified weights; a remote file is downloaded once a node.

    Raises:
        InputError: if the file is not on this node, cannot be downloaded, or has another hash.
    """
    source = located_source(weights.source)
    if not storage.is_local(source):
        return fetch(source, weights.sha256)
    path = storage.filesystem(source)[1]
    if not os.path.isfile(path):
        raise InputError(
            f"checkpoint {path} is not on this node ({socket.gethostname()}); use a shared folder or a URL"
        )
    found = file_facts(path).sha256
    if found != weights.sha256:
        raise InputError(f"checkpoint {path}: expected SHA-256 {weights.sha256}, found {found}")
    return path


def place_of_model(text: str) -> str | None:
    """Return the path or URL in the name of a model; None for tags and bundled models: no places."""
    _, _, source = text.partition(":")
    place = text if source.startswith("//") else source or text  # a folder has no architecture before it
    return place if "/" in place else None


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
    weights, _ = _weights_of_file(storage.join(folder, MODEL_FOLDER_WEIGHTS))
    quick = bool(config.pop("quick_gelu", False))
    normalisation = {key: preprocessing[key] for key in ("mean", "std") if key in preprocessing}
    return Encoder(
        name=_last_part(folder),
        architecture=json.dumps(config, sort_keys=True),
        weights=weights,
        quick_gelu=quick,
        dtype=dtype,
        **normalisation,
    )


def _segmenter_of_folder(folder: str, dtype: str) -> Segmenter:
    config_url = storage.join(folder, SAM_FOLDER_CONFIG)
    if not storage.exists(config_url):
        raise InputError(
            f"segmenter {folder!r}: write ARCHITECTURE:{PUBLISHED} or ARCHITECTURE:FILE_OR_URL with "
            f"{', '.join(SEGMENTERS)}, or a folder with {SAM_FOLDER_CONFIG}"
        )
    try:
        config = dict(json.loads(storage.read_bytes(config_url)))
        frame_px = int(config["image_size"])
        min_area_px = int(config.pop("min_area_px", MIN_AREA_PX))
    except (ValueError, KeyError, TypeError) as problem:
        raise InputError(f"{config_url}: no readable sizes of a SAM ({problem!r})") from problem
    weights, _ = _weights_of_file(storage.join(folder, SAM_FOLDER_WEIGHTS))
    return Segmenter(
        name=_last_part(folder),
        architecture=json.dumps(config, sort_keys=True),
        weights=weights,
        frame_px=frame_px,
        min_area_px=min_area_px,
        dtype=dtype,
    )


def _weights_of_file(source: str) -> tuple[Weights, Published | Card | None]:
    """Hash a file and find who vouches for it: the table of published checkpoints, or the card beside it."""
    source = storage.absolute(source)
    published = at_url(source)
    if published:
        facts = FileFacts(published.sha256, published.storage == "torchscript")
    else:
        facts = file_facts(source)
    if facts.torchscript:
        raise _torchscript_refused(source, facts.sha256)
    maker = with_hash(facts.sha256) or read_card(source, facts.sha256)
    label = maker.label if maker else "unverified"
    return Weights(source=portable_source(source), sha256=facts.sha256, label=label), maker


def _torchscript_refused(source: str, sha256: str) -> InputError:
    published = with_hash(sha256)
    told = f"checkpoint {source} is a TorchScript archive, which is a program;"
    if not published:
        return InputError(f"{told} its SHA-256 {sha256} is none of the published ones, so it is refused")
    out = f"weights/{Path(published.name).stem}.safetensors"
    return InputError(
        f"{told} convert it once: python -m pipelines.convert_weights --source {source} --out {out}"
    )


def _weights_of_tag(architecture: str, tag: str) -> tuple[Weights, bool, dict[str, Any]]:
    """Download a pretrained tag through open_clip; a tag seen before needs no import of open_clip."""

    def download() -> dict[str, Any]:
        import open_clip

        plain = _plain(architecture)
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
            raise _torchscript_refused(path, facts.sha256)
        return {
            "source": _shareable(path),
            "sha256": facts.sha256,
            "quick_gelu": bool(config.get("quick_gelu")),
            "normalisation": {"mean": config["mean"], "std": config["std"]},
        }

    key = f"pretrained|{_plain(architecture)}|{tag}"
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


def _require_known(told: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise InputError(f"{told} {name!r}; nearest: {', '.join(near[:5])}")


def _require_maker_agrees(told: str, maker: Published | Card | None, architecture: str) -> None:
    if maker and _plain(maker.architecture) != architecture:
        said = "its card" if isinstance(maker, Card) else "the publisher"
        raise InputError(f"{told}: {said} says the weights are for {maker.architecture}, not {architecture}")


@cache
def _architectures() -> tuple[str, ...]:
    """List open_clip's model names from its folder, without importing it (and torch)."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("open_clip_torch is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "model_configs"
    return tuple(sorted(path.stem for path in folder.glob("*.json")))


def _last_part(folder: str) -> str:
    return folder.rstrip("/").rsplit("/", 1)[-1]


def _plain(architecture: str) -> str:
    return architecture.removesuffix(QUICK_GELU_SUFFIX)


def _looks_like_file(source: str) -> bool:
    return "/" in source or PurePosixPath(urlsplit(source).path).suffix in FILE_SUFFIXES
