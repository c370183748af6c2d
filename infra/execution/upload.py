"""What Ray uploads as the working directory of a job, by Ray's own rules, before it is uploaded."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ray._private.runtime_env.packaging import _dir_travel

MIB = 2**20
# Ray asks this of its user too; what git ignores is left behind otherwise.
KEEP_IGNORED = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"
NAMED = 3


@dataclass(frozen=True)
class Upload:
    """Files that go, by their first folder.

    Attributes:
        files: how many.
        sizes: bytes by name of the file or folder directly below the working directory.
    """

    files: int
    sizes: dict[str, int]

    @property
    def mib(self) -> float:
        """Return the size of everything, not yet compressed."""
        return sum(self.sizes.values()) / MIB

    def line(self) -> str:
        """Say how much it is, and the largest of it."""
        largest = sorted(self.sizes.items(), key=lambda item: -item[1])[:NAMED]
        named = ", ".join(f"{name} {size / MIB:.1f}" for name, size in largest)
        return f"{self.files} files, {self.mib:.1f} MiB before compression (largest: {named})"


def measure_upload(folder: Path) -> Upload:
    """Walk a folder as Ray does, with `.rayignore` and `.gitignore`, and add up what it would pack."""
    sizes: Counter[str] = Counter()
    files = 0

    def add(path: Path) -> None:
        nonlocal files
        if path.is_file():
            sizes[path.relative_to(folder).parts[0]] += path.stat().st_size
            files += 1

    quiet = logging.Logger("measure", logging.ERROR)  # Ray says the same again when it packs
    _dir_travel(folder, [], add, include_gitignore=os.environ.get(KEEP_IGNORED) != "1", logger=quiet)
    return Upload(files, dict(sizes))
