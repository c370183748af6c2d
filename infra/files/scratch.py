"""This user's own folder on this node, for files that may be lost."""

from __future__ import annotations

import os
import stat
import tempfile

from infra.files.storage_retries import StorageError


def scratch_folder() -> str:
    """Return the folder, made if needed; nobody else may enter it.

    What is remembered there is trusted, so another user's folder is never used.

    Raises:
        StorageError: if `VPB_CACHE`, or every usual place, is another user's or cannot be made.
    """
    chosen = os.environ.get("VPB_CACHE")
    if chosen:
        places = [os.path.realpath(chosen)]
    else:
        caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        temporary = os.path.join(tempfile.gettempdir(), f"visual-prompt-bench-{os.geteuid()}")
        places = [os.path.realpath(os.path.join(caches, "visual-prompt-bench")), temporary]
    for place in places:
        if _made_private(place):
            return place
    raise StorageError(f"{' and '.join(places)}: not this user's own; set VPB_CACHE to a folder that is")


def _made_private(folder: str) -> bool:
    try:
        os.makedirs(folder, mode=stat.S_IRWXU, exist_ok=True)
        found = os.lstat(folder)  # a link in a shared folder may be a trap
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            os.chmod(folder, stat.S_IRWXU)
        return os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False
