"""Checkpoints: resolved to a SHA-256 without building a model, fetched once a node, verified on load."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra import storage
from infra.shards import InputError
from operators.catalog import Encoder, Value, Weights

CHUNK_BYTES = 1 << 22
QUICK_GELU_SUFFIX = "-quickgelu"
MODEL_FOLDER_CONFIG = "open_clip_config.json"
MODEL_FOLDER_WEIGHTS = "open_clip_model.safetensors"
CARD_SUFFIX = ".card.json"


class Card(Value):
    """What a checkpoint's maker says of it, in `<file>.card.json`; it counts only if the hash matches."""

    sha256: str
    label: str
    architecture: str
    quick_gelu: bool = False
    made_by: str = ""


def resolve_encoder(text: str, dtype: str = "float32") -> Encoder:
    """Resolve `ARCHITECTURE:TAG`, `ARCHITECTURE:FILE_OR_URL` or an open_clip model folder.

    QuickGELU follows the weights: the pretrained tag, the card beside the file, or the folder's config. An
    architecture name that contradicts them is refused. For a file that says nothing the name decides.

    Raises:
        InputError: naming what is unknown, the nearest names, or the contradiction.
    """
    architecture, colon, source = text.partition(":")
    if not colon:
        return _encoder_of_folder(text, dtype)
    if architecture not in _architectures():
        near = get_close_matches(architecture, _architectures(), n=3, cutoff=0.4)
        raise InputError(
            f"encoder {text!r}: open_clip has no model {architecture!r}; nearest: {', '.join(near)}"
        )
    if _looks_like_file(source):
        weights, card = _weights_of_file(source)
        normalisation: dict[str, Any] = {}
        quick = card.quick_gelu if card else architecture.endswith(QUICK_GELU_SUFFIX)
        if card and _plain(card.architecture) != _plain(architecture):
            raise InputError(f"encoder {text!r}: its card says the weights are for {card.architecture}")
    else:
        weights, quick, normalisation = _weights_of_tag(architecture, source)
    if architecture.endswith(QUICK_GELU_SUFFIX) and not quick:
        raise InputError(
            f"encoder {text!r}: these weights were trained without QuickGELU; write {_plain(architecture)}"
        )
    plain = _plain(architecture)
    return Encoder(
        name=plain, architecture=plain, weights=weights, quick_gelu=quick, dtype=dtype, **normalisation
    )


def local_file(weights: Weights) -> str:
    """Return a local path of verified weights; a remote file is downloaded once a node.

    Raises:
        InputError: if the file's hash is not the expected one.
    """
    if storage.is_local(weights.source):
        path = storage.filesystem(weights.source)[1]
        _verify(path, weights)
        return path
    path = os.path.join(storage.scratch_folder(), f"{weights.sha256}{Path(weights.source).suffix}")
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            storage.write_bytes(path, storage.read_bytes(weights.source))
        _verify(path, weights)
    return path


def write_card(path: str, label: str, architecture: str, quick_gelu: bool, made_by: str) -> Card:
    """Write the card of a checkpoint file beside it."""
    card = Card(
        sha256=file_sha256(path),
        label=label,
        architecture=architecture,
        quick_gelu=quick_gelu,
        made_by=made_by,
    )
    storage.write_bytes(path + CARD_SUFFIX, card.model_dump_json(indent=1).encode())
    return card


def file_sha256(path: str) -> str:
    """Hash a local file; remembered by path, size and modification time."""
    status = os.stat(path)
    key = f"{os.path.realpath(path)}|{status.st_size}|{status.st_mtime_ns}"
    return _remembered(key, lambda: {"sha256": _hash_file(path)})["sha256"]


def _encoder_of_folder(folder: str, dtype: str) -> Encoder:
    config_url = storage.join(folder, MODEL_FOLDER_CONFIG)
    if not storage.exists(config_url):
        raise InputError(
            f"encoder {folder!r}: write ARCHITECTURE:TAG (ViT-B-32:openai), ARCHITECTURE:FILE, or a folder "
            f"with {MODEL_FOLDER_CONFIG}"
        )
    try:
        content = json.loads(storage.read_bytes(config_url))
        config, preprocessing = content["model_cfg"], content.get("preprocess_cfg", {})
    except (ValueError, KeyError) as problem:
        raise InputError(f"{config_url}: no readable model_cfg ({problem!r})") from problem
    weights, _ = _weights_of_file(storage.join(folder, MODEL_FOLDER_WEIGHTS))
    quick = bool(config.pop("quick_gelu", False))
    name = folder.rstrip("/").rsplit("/", 1)[-1]
    architecture = json.dumps(config, sort_keys=True)
    normalisation = {key: preprocessing[key] for key in ("mean", "std") if key in preprocessing}
    return Encoder(
        name=name, architecture=architecture, weights=weights, quick_gelu=quick, dtype=dtype, **normalisation
    )


def _weights_of_file(source: str) -> tuple[Weights, Card | None]:
    if not storage.exists(source):
        raise InputError(f"checkpoint {source} does not exist")
    source = storage.absolute(source)
    if storage.is_local(source):
        sha256 = file_sha256(source)
    else:
        sha256 = hashlib.sha256(storage.read_bytes(source)).hexdigest()
    card = _card(source)
    if card and card.sha256 != sha256:
        raise InputError(f"checkpoint {source}: its card expects SHA-256 {card.sha256}, found {sha256}")
    return Weights(source=source, sha256=sha256, label=card.label if card else "unverified"), card


def _card(source: str) -> Card | None:
    try:
        return Card.model_validate_json(storage.read_bytes(source + CARD_SUFFIX))
    except FileNotFoundError:
        return None
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        raise InputError(f"{source}{CARD_SUFFIX}: {detail['loc']}: {detail['msg']}") from problem


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
        normalisation = {"mean": config["mean"], "std": config["std"]}
        quick = bool(config.get("quick_gelu"))
        return {
            "path": path,
            "sha256": file_sha256(path),
            "quick_gelu": quick,
            "normalisation": normalisation,
        }

    known = _remembered(f"tag|{_plain(architecture)}|{tag}", download)
    if not os.path.exists(known["path"]):
        known = download()
    weights = Weights(source=known["path"], sha256=known["sha256"], label="real")
    return weights, known["quick_gelu"], known["normalisation"]


def _verify(path: str, weights: Weights) -> None:
    found = file_sha256(path)
    if found != weights.sha256:
        raise InputError(f"checkpoint {path}: expected SHA-256 {weights.sha256}, found {found}")


def _hash_file(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _remembered(key: str, compute: Any) -> Any:
    """Keep small JSON answers in this user's scratch folder, one file a key."""
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = os.path.join(storage.scratch_folder(), "answers", f"{name}.json")
    try:
        stored = json.loads(Path(path).read_text())
        if stored["key"] == key:
            return stored["answer"]
    except (FileNotFoundError, ValueError, KeyError):
        pass
    answer = compute()
    storage.write_bytes(path, json.dumps({"key": key, "answer": answer}).encode())
    return answer


@cache
def _architectures() -> tuple[str, ...]:
    """List open_clip's model names from its folder, without importing it (and torch)."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("open_clip_torch is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "model_configs"
    return tuple(sorted(path.stem for path in folder.glob("*.json")))


def _plain(architecture: str) -> str:
    return architecture.removesuffix(QUICK_GELU_SUFFIX)


def _looks_like_file(source: str) -> bool:
    return "/" in source or Path(source).suffix in (".pt", ".pth", ".bin", ".safetensors")
