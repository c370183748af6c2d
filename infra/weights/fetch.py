"""Checkpoint files on this node: written whole or not at all, hashed once, fetched once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from infra.errors import InputError
from infra.files import storage
from infra.files.credentials import without_credentials
from infra.files.scratch import scratch_folder
from infra.files.storage_retries import StorageError, persist

Answer = TypeVar("Answer")
CHUNK_BYTES = 1 << 22
DOWNLOAD_ATTEMPTS = 5
READABLE = 0o644  # by other users of a shared folder; safetensors' writer leaves them out
# What stores call the things that change with a file's content; other fields change by themselves.
IDENTITY_FIELDS = {
    "size",
    "etag",
    "last-modified",
    "lastmodified",
    "updated",
    "generation",
    "created",
    "mtime",
}


class FileFacts(NamedTuple):
    """What is known of a file's content without trusting it.

    Attributes:
        sha256: of the whole file.
        torchscript: whether it is a TorchScript archive, which is a program.
    """

    sha256: str
    torchscript: bool


def file_facts(source: str) -> FileFacts:
    """Hash a file; remembered by path, size and times, or by URL and what its server says of it.

    A remote file is downloaded for that, into this node's cache, where `fetch` finds it.

    Raises:
        InputError: if there is no such file, or it cannot be downloaded.
        StorageError: if its store refuses.
    """
    path = storage.filesystem(source)[1]
    try:
        info = storage.file_info(source)
    except FileNotFoundError as problem:
        raise InputError(f"checkpoint {source} does not exist") from problem
    except StorageError:
        raise
    except Exception as problem:  # every kind of store has its own
        said = without_credentials(repr(problem))
        raise InputError(f"checkpoint {source} cannot be reached: {said}") from problem
    if info["type"] != "file":
        raise InputError(f"checkpoint {source} is a folder")
    if storage.is_local(source):
        with _lock(os.path.realpath(path)):  # so that the actors of a node do not all read it
            return FileFacts(*remembered(_local_key(path), lambda: _facts(path)))
    identity = {name: str(value) for name, value in info.items() if name.lower() in IDENTITY_FIELDS}
    key = f"url|{source}|{json.dumps(identity, sort_keys=True)}"
    return FileFacts(*remembered(key, lambda: _download(source)))


def fetch(url: str, sha256: str) -> str:
    """Return the local path of a remote file, downloaded once a node and verified.

    Raises:
        InputError: if the download fails or has another hash; nothing of it is kept.
        StorageError: if its store refuses.
    """
    path = _cached_path(url, sha256)
    with _lock(sha256):
        if not os.path.exists(path) or file_facts(path).sha256 != sha256:
            _download(url, sha256)
    return path


def adopt(path: str, url: str) -> None:
    """Let `fetch` find a file that another program has already downloaded from this URL."""
    sha256 = file_facts(path).sha256
    link = Path(_cached_path(url, sha256))
    with _lock(sha256):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.realpath(path))


@contextmanager
def written_whole(path: str) -> Iterator[str]:
    """Give the path of a file, of the same suffix, that takes its place at the end or goes after an error.

    Processes that write the same path must hold a lock; what a killed one leaves behind is overwritten.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = os.path.join(os.path.dirname(path), f".part-{os.path.basename(path)}")
    Path(temporary).unlink(missing_ok=True)
    try:
        yield temporary
        os.chmod(temporary, READABLE)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def remembered(key: str, compute: Callable[[], Answer]) -> Answer:
    """Keep small JSON answers in this user's scratch folder, one file a key."""
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = os.path.join(scratch_folder(), "answers", f"{name}.json")
    try:
        stored = json.loads(Path(path).read_text())
        if stored["key"] == key:
            return stored["answer"]
    except (FileNotFoundError, ValueError, KeyError):
        pass
    answer = compute()
    storage.write_bytes(path, json.dumps({"key": key, "answer": answer}).encode())
    return answer


def _download(url: str, expected: str | None = None) -> FileFacts:
    """Download into the cache, under the name that the content's hash gives it."""
    with _lock(url):
        part = _cached_path(url, hashlib.sha256(url.encode()).hexdigest() + "-download")
        with written_whole(part) as temporary:
            try:
                _copy(url, temporary)
            except StorageError:
                raise
            except Exception as problem:  # every kind of store has its own
                said = without_credentials(repr(problem))
                raise InputError(f"checkpoint {url}: download failed: {said}") from problem
            facts = _facts(temporary)
            if expected and facts.sha256 != expected:
                raise InputError(f"checkpoint {url}: expected SHA-256 {expected}, found {facts.sha256}")
        path = _cached_path(url, facts.sha256)
        os.replace(part, path)
    return FileFacts(*remembered(_local_key(path), lambda: facts))


def _copy(url: str, path: str) -> None:
    fs, remote = storage.filesystem(url)

    def copy() -> None:
        fs.get_file(remote, path)
        size, found = fs.info(remote).get("size"), os.path.getsize(path)
        if size is not None and size != found:
            raise ConnectionError(f"expected {size} bytes, found {found}")

    persist(url, copy, DOWNLOAD_ATTEMPTS)


def _facts(path: str) -> FileFacts:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return FileFacts(digest.hexdigest(), _is_torchscript(path))


def _is_torchscript(path: str) -> bool:
    """Recognise an archive that holds code, from its directory alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(name).parts[1:2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        return False
    return {("code",), ("constants.pkl",)} <= members


def _local_key(path: str) -> str:
    status = os.stat(path)
    times = f"{status.st_mtime_ns}|{status.st_ctime_ns}"
    return f"file|{os.path.realpath(path)}|{status.st_size}|{times}"


def _cached_path(url: str, name: str) -> str:
    suffix = PurePosixPath(urlsplit(url).path).suffix
    return os.path.join(scratch_folder(), "checkpoints", f"{name}{suffix}")


@contextmanager
def _lock(name: str) -> Iterator[None]:
    """Hold a lock of this node, against threads as well as processes."""
    folder = os.path.join(scratch_folder(), "locks")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, hashlib.sha256(name.encode()).hexdigest()[:32]), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
