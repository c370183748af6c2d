"""The pictures that annotations speak of, looked for in a folder before any of them is read."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable

from infra.errors import InputError
from infra.files import storage

# Folders within the picture folder that are listed; names spread over more are left to the reading itself.
MAX_FOLDERS = 64


def present_names(images: str, names: Iterable[str]) -> set[str] | None:
    """Return the names, relative to a folder, of all files beside the ones asked for.

    Args:
        images: the folder; any fsspec URL.
        names: of files in it, perhaps in folders of their own.

    Returns:
        None if they are spread over too many folders to be listed.
    """
    folders = {posixpath.dirname(name) for name in names}
    if len(folders) > MAX_FOLDERS or any(folder.startswith(("/", "..")) for folder in folders):
        return None
    return {
        posixpath.join(folder, name)
        for folder in folders
        for name in storage.list_names(storage.join(images, folder) if folder else images)
    }


def require_some(images: str, names: Collection[str], present: Collection[str]) -> None:
    """Refuse a folder that has none of the pictures.

    Raises:
        InputError: naming a file that was looked for, and a folder that has it if one is near.
    """
    if not names or any(name in present for name in names):
        return
    first = next(iter(names))
    near = _near(images, first)
    raise InputError(
        f"--images {images}: none of the {len(names)} pictures is there; looked for "
        f"{storage.join(images, first)}" + (f"; did you mean --images {near}?" if near else "")
    )


def _near(images: str, name: str) -> str | None:
    """Return a folder one or two levels below, or one above, in which a file of that name lies."""
    below = [storage.join(images, folder) for folder in sorted(storage.list_names(images))[:MAX_FOLDERS]]
    deeper = (storage.join(f, inner) for f in below for inner in sorted(storage.list_names(f))[:MAX_FOLDERS])
    above = posixpath.dirname(images.rstrip("/"))
    for folder in (*below, above, *deeper):
        if folder and storage.exists(storage.join(folder, name)):
            return folder
    return None
