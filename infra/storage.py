"""Files on any fsspec URL: whole reads, atomic whole writes, listings, and names that cannot escape."""

from __future__ import annotations

import os
import posixpath
import tempfile
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from operators.images import ImageError

T = TypeVar("T")
ATTEMPTS = 5
PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)


def _is_transient(problem: BaseException) -> bool:
    return isinstance(problem, (OSError, TimeoutError, ConnectionError)) and not isinstance(
        problem, PERMANENT
    )


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL or path, and the path within it."""
    return fsspec.core.url_to_fs(url)


def is_local(url: str) -> bool:
    """Say whether a URL or path lies on this machine's file system."""
    return isinstance(filesystem(url)[0], LocalFileSystem)


def absolute(url: str) -> str:
    """Return a local path made absolute; other URLs unchanged."""
    return os.path.abspath(filesystem(url)[1]) if is_local(url) else url.rstrip("/")


def join(root: str, *parts: str) -> str:
    """Append path parts to a URL or path."""
    return posixpath.join(root, *parts)


def join_inside(root: str, name: str) -> str:
    """Append a file name taken from data; it must stay below `root`.

    Raises:
        ImageError: `path.escape` for absolute names, `..`, back-slashes, NUL, URLs (also chained with `::`),
            or a symbolic link that leaves the folder.
    """
    normal = posixpath.normpath(name)
    if (
        not name
        or normal.startswith(("/", ".."))
        or any(mark in name for mark in ("\\", "\0", "://", "::"))
        or (is_local(root) and not _below(root, normal))
    ):
        raise ImageError("path.escape", f"the file name {name!r} leads out of the image folder")
    return join(root, normal)


def read_bytes(url: str) -> bytes:
    """Read a whole file, retrying transient faults with back-off."""
    return _try(lambda: filesystem(url)[0].cat_file(filesystem(url)[1]))


def write_bytes(url: str, data: bytes) -> None:
    """Write a whole file so that a reader sees either nothing or all of it.

    Locally through a temporary file, fsync and rename; on an object store as one upload, which is visible
    only when complete.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        _write_local(path, data)
    else:
        _try(lambda: fs.pipe_file(path, data))


def create_bytes(url: str, data: bytes) -> None:
    """Write a file that must not exist yet.

    Raises:
        FileExistsError: if it does.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(data)
    else:
        fs.pipe_file(path, data, mode="create")


def exists(url: str) -> bool:
    """Say whether a file exists."""
    fs, path = filesystem(url)
    return bool(_try(lambda: fs.exists(path)))


def list_names(url: str) -> set[str]:
    """Return the names of the files directly below a folder; empty if there is no such folder."""
    fs, path = filesystem(url)
    fs.invalidate_cache()
    try:
        listing = _try(lambda: fs.ls(path, detail=False))
    except FileNotFoundError:
        return set()
    return {posixpath.basename(entry.rstrip("/")) for entry in listing}


def _try(action: Callable[[], T]) -> T:
    attempts = Retrying(
        retry=retry_if_exception(_is_transient),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=10),
        reraise=True,
    )
    return attempts(action)


def _below(root: str, name: str) -> bool:
    base = os.path.realpath(filesystem(root)[1])
    return os.path.realpath(os.path.join(base, name)).startswith(base + os.sep)


def _write_local(path: str, data: bytes) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def scratch_folder() -> str:
    """Return this user's folder for files that may be lost, made if needed."""
    folder = os.environ.get("VPB_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "visual-prompt-bench"
    )
    try:
        os.makedirs(folder, exist_ok=True)
        return folder
    except OSError:
        return tempfile.gettempdir()
