"""What a run records about itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.run import provenance as module
from infra.run.provenance import provenance, utc_now


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)


def test_the_record_is_plain_data() -> None:
    record = provenance()
    assert json.loads(json.dumps(record)) == record
    assert record["command"] == sys.argv
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["machine"]["cores"] == os.cpu_count()
    assert all(record["machine"].values())


def test_packages() -> None:
    packages = provenance()["packages"]
    for name in ("torch", "ray", "pillow", "open_clip_torch", "numpy"):
        assert packages[name] == version(name)


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ["numpy", "no-such-package-xyz"])
    assert provenance()["packages"]["no-such-package-xyz"] is None


def test_revision_and_dirty_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    revision = git(tmp_path, "rev-parse", "HEAD")
    assert len(revision) == 40
    assert provenance()["git"] == {"revision": revision, "dirty": False}
    (tmp_path / "a").write_text("2")
    assert provenance()["git"] == {"revision": revision, "dirty": True}


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert provenance()["git"] == {"revision": None, "dirty": None}


def test_inside_somebody_elses_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed wheel lies in the virtual environment of another project."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "theirs")
    packages = tmp_path / ".venv" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.setattr(module, "ROOT", packages)
    assert provenance()["git"] == {"revision": None, "dirty": None}


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance()["git"] == {"revision": None, "dirty": None}
