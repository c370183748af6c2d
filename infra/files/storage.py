"""Files on any fsspec URL: whole reads, atomic whole writes, listings, and names that cannot escape."""

from __future__ import annotations

import os
import posixpath
import uuid
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from infra.files.credentials import holds_credentials, without_credentials
from infra.files.storage_retries import NOT_IMPLEMENTED, StorageError, answer, give_credentials, persist
from operators.pixels.images import ImageError

PROBE = ".writable"
# What tells one content of a file from another, by the names of local files, S3, Google's store and Azure's.
STAMP = ("size", "ino", "mtime", "created", "ETag", "md5Hash", "generation", "etag")
# Protocols whose drivers are optional, and the extra that brings each.
DRIVERS = {"gs": "gcs", "gcs": "gcs", "hf": "hf", "az": "azure", "abfs": "azure", "abfss": "azure"}


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL or path, and the path within it.

    Raises:
        StorageError: for a protocol that is unknown, or whose driver is not installed, with what to install.
    """
    if not url.startswith(("s3://", "s3a://")):
        try:
            return fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as problem:
            raise _without_driver(url, problem) from problem
    from infra.files.s3 import s3_options

    fs, path = fsspec.core.url_to_fs(url, **s3_options())
    fs.retries = 1
    return fs, path


def _without_driver(url: str, problem: Exception) -> StorageError:
    """Say which extra brings the driver of a protocol, or that nothing does."""
    protocol = url.partition("://")[0].rpartition("::")[2]
    address = without_credentials(url)
    if protocol in DRIVERS:
        install = f"pip install -e '.[{DRIVERS[protocol]}]'"
        return StorageError(f"{address}: {protocol}:// needs a driver; in the checkout: {install}")
    if isinstance(problem, ImportError):
        return StorageError(f"{address}: the driver of {protocol}:// is not installed ({problem})")
    known = ", ".join(f"{name}://" for name in ("s3", *DRIVERS))
    return StorageError(f"{address}: {problem}; a path, or a URL such as {known}")


def require_no_credentials(url: str) -> None:
    """Refuse an address with credentials in it; addresses are written to `run.json` and logs.

    Raises:
        StorageError: naming the address without them.
    """
    if holds_credentials(url):
        raise StorageError(
            f"{without_credentials(url)}: no credentials in addresses; {give_credentials(url)}"
        )


def is_local(url: str) -> bool:
    """Say whether a URL or path lies on this machine's file system."""
    return isinstance(filesystem(url)[0], LocalFileSystem)


def absolute(url: str) -> str:
    """Return a local path made absolute; other URLs unchanged.

    Raises:
        StorageError: if the URL holds credentials.
    """
    require_no_credentials(url)
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
    """Read a whole file.

    Raises:
        FileNotFoundError: if there is none.
        StorageError: as `persist`; StorageOutage likewise.
    """
    fs, path = filesystem(url)
    return persist(url, lambda: fs.cat_file(path))


def write_bytes(url: str, data: bytes) -> None:
    """Write a whole file so that a reader sees either nothing or all of it; doing it twice is harmless.

    Locally through a temporary file, fsync and rename; on an object store as one upload, which is visible
    only when complete.

    Raises:
        StorageError: as `persist`; StorageOutage likewise.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        _write_local(path, data)
    else:
        persist(url, lambda: fs.pipe_file(path, data))


def create_bytes(url: str, data: bytes) -> None:
    """Write a file that must not exist yet, with other content; two writers cannot both succeed.

    Raises:
        FileExistsError: if it does.
        StorageError: as `persist`; StorageOutage likewise.
    """
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(data)
        else:
            _create_remote(url, data)
    except FileExistsError:
        # An upload whose answer was lost is tried again and meets itself.
        if read_bytes(url) != data:
            raise


def _create_remote(url: str, data: bytes) -> None:
    fs, path = filesystem(url)
    try:
        persist(url, lambda: fs.pipe_file(path, data, mode="create"))
    except StorageError as problem:
        if answer(problem.__cause__)[0] != NOT_IMPLEMENTED:
            raise
        # Some stores have no conditional writes. What is created here has time and content in its name, so
        # that a look beforehand is enough.
        if exists(url):
            raise FileExistsError(f"{url} exists") from problem
        write_bytes(url, data)


def require_writable(folder: str) -> None:
    """Find out before any work whether results can be written to a folder.

    An object store gets an empty file for that: nothing else tells.

    Raises:
        StorageError: if they cannot; StorageOutage if the store does not answer.
    """
    fs, path = filesystem(folder)
    if not isinstance(fs, LocalFileSystem):
        write_bytes(join(folder, PROBE), b"")
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as problem:
        raise StorageError(f"{folder}: {problem.strerror}; choose another folder") from problem
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"{folder}: this user cannot write there; choose another folder")


def file_info(url: str) -> dict[str, Any]:
    """Return what the file system says of a file or folder: `type`, `size` and more, by its own names.

    Raises:
        FileNotFoundError: if there is none.
        StorageError: as `persist`; StorageOutage likewise.
    """
    fs, path = filesystem(url)
    try:
        return persist(url, lambda: fs.info(path))
    except NotADirectoryError as problem:  # a file stands where a folder should be
        raise FileNotFoundError(url) from problem


def exists(url: str) -> bool:
    """Say whether a file exists."""
    try:
        file_info(url)
    except FileNotFoundError:
        return False
    return True


def list_names(url: str) -> set[str]:
    """Return the names of the files directly below a folder, as of now; empty if there is no such folder."""
    return {posixpath.basename(entry.rstrip("/")) for entry in _list(url, detail=False)}


def list_stamps(url: str) -> dict[str, str]:
    """Return the names directly below a folder, each with what the store says of its content: another
    content has another stamp. Empty if there is no such folder.
    """
    return {
        posixpath.basename(entry["name"].rstrip("/")): " ".join(
            str(entry[key]) for key in STAMP if key in entry
        )
        for entry in _list(url, detail=True)
    }


def _list(url: str, *, detail: bool) -> list[Any]:
    fs, path = filesystem(url)
    fs.invalidate_cache()
    try:
        return persist(url, lambda: fs.ls(path, detail=detail))
    except (FileNotFoundError, NotADirectoryError):
        return []


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
