"""What a run records about itself: code, versions, machine, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = [
    "visual-prompt-bench",
    "ray",
    "torch",
    "torchvision",
    "open_clip_torch",
    "segment-anything",
    "pyarrow",
    "pandas",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "fsspec",
    "s3fs",
]
ROOT = Path(__file__).resolve().parents[2]


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def provenance() -> dict[str, Any]:
    """Return git revision (with a dirty mark), package versions, machine and command line."""
    return {
        "git": _git(),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
        "command": sys.argv,
    }


def _git() -> dict[str, Any]:
    """Return our revision; none where the code lies in another repository, as an installed wheel may."""
    try:
        if Path(_run("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return {"revision": None, "dirty": None}
        revision = _run("rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_run("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"revision": None, "dirty": None}


def _run(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
