"""The scratch folder is this user's alone."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from infra.files.scratch import scratch_folder
from infra.files.storage_retries import StorageError


@pytest.fixture(autouse=True)
def _no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VPB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()


def test_a_chosen_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scratch_folder() == str(tmp_path / "xdg" / "visual-prompt-bench")
    monkeypatch.setenv("VPB_CACHE", str(tmp_path / "chosen"))
    assert scratch_folder() == str(tmp_path / "chosen")


def test_nobody_else_may_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPB_CACHE", str(tmp_path / "deep" / "open"))
    for mode in (None, 0o777):
        if mode:
            os.chmod(tmp_path / "deep" / "open", mode)
        assert stat.S_IMODE(os.stat(scratch_folder()).st_mode) == 0o700


def test_without_a_home_it_lies_in_a_folder_of_this_users_own(tmp_path: Path) -> None:
    (tmp_path / "xdg").write_text("not a folder")
    expected = tmp_path / "tmp" / f"visual-prompt-bench-{os.geteuid()}"
    assert scratch_folder() == str(expected)
    assert stat.S_IMODE(expected.stat().st_mode) == 0o700


def test_a_folder_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path(scratch_folder())
    monkeypatch.setattr(os, "geteuid", lambda: usual.stat().st_uid + 1)
    with pytest.raises(StorageError, match="set VPB_CACHE to a folder that is"):
        scratch_folder()
    monkeypatch.setenv("VPB_CACHE", str(usual))
    with pytest.raises(StorageError, match=f"^{usual}: not this user's own"):
        scratch_folder()


def test_a_trap_in_the_shared_folder_is_refused(tmp_path: Path) -> None:
    """Another user may have made a link of that name to a folder of ours."""
    (tmp_path / "xdg").write_text("not a folder")
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "tmp" / f"visual-prompt-bench-{os.geteuid()}").symlink_to(tmp_path / "mine")
    with pytest.raises(StorageError, match="not this user's own"):
        scratch_folder()
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o755
