"""Where a checkpoint comes from: its file, who vouches for it, and its copy on this node."""

from __future__ import annotations

import os
import socket
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from infra.errors import InputError
from infra.files import storage
from infra.weights.bundled_models import located_source, portable_source
from infra.weights.checkpoint_card import Card, read_card
from infra.weights.fetch import FileFacts, fetch, file_facts
from infra.weights.published_checkpoints import Published, at_url, with_hash
from operators.methods.models import Weights

QUICK_GELU_SUFFIX, GELU_SUFFIX = "-quickgelu", "-gelu"
FILE_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


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


def weights_of_file(source: str) -> tuple[Weights, Published | Card | None]:
    """Hash a file and find who vouches for it: the table of published checkpoints, or the card beside it."""
    source = storage.absolute(source)
    published = at_url(source)
    if published:
        facts = FileFacts(published.sha256, published.storage == "torchscript")
    else:
        facts = file_facts(source)
    if facts.torchscript:
        raise torchscript_refused(source, facts.sha256)
    maker = with_hash(facts.sha256) or read_card(source, facts.sha256)
    label = maker.label if maker else "unverified"
    return Weights(source=portable_source(source), sha256=facts.sha256, label=label), maker


def torchscript_refused(source: str, sha256: str) -> InputError:
    published = with_hash(sha256)
    told = f"checkpoint {source} is a TorchScript archive, which is a program;"
    if not published:
        return InputError(f"{told} its SHA-256 {sha256} is none of the published ones, so it is refused")
    out = f"weights/{Path(published.name).stem}.safetensors"
    return InputError(
        f"{told} convert it once: python -m pipelines.convert_weights --source {source} --out {out}"
    )


def require_known(told: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise InputError(f"{told} {name!r}; nearest: {', '.join(near[:5])}")


def require_maker_agrees(told: str, maker: Published | Card | None, architecture: str) -> None:
    if maker and plain_name(maker.architecture) != architecture:
        said = "its card" if isinstance(maker, Card) else "the publisher"
        raise InputError(f"{told}: {said} says the weights are for {maker.architecture}, not {architecture}")


def two_parts(told: str, text: str) -> tuple[str, str]:
    architecture, colon, source = text.partition(":")
    if not colon or not architecture or not source:
        raise InputError(f"{told}: write KIND:ARCHITECTURE:FILE")
    return architecture, source


def last_part(folder: str) -> str:
    return folder.rstrip("/").rsplit("/", 1)[-1]


def plain_name(architecture: str) -> str:
    """Return an architecture without what its name says of the activation."""
    return architecture.removesuffix(QUICK_GELU_SUFFIX).removesuffix(GELU_SUFFIX)


def looks_like_file(source: str) -> bool:
    return "/" in source or PurePosixPath(urlsplit(source).path).suffix in FILE_SUFFIXES
