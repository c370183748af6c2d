"""What `ray job submit --working-dir .` uploads from a checkout in which README's commands were run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

ROOT = Path(__file__).resolve().parents[4]
MIB = 2**20
# Options whose value is a folder that a command of README reads or writes.
FOLDERS = ("--refer", "--detections", "--images", "--out", "--data")


def folders_of_readme() -> set[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(?:bash|sh|shell)?\n(.*?)```", text, flags=re.S)
    lines = [line for block in blocks for line in block.splitlines() if "python pipelines/" in line]
    found = set()
    for line in lines + re.findall(r"`(python pipelines/[^`]+)`", text):
        words = shlex.split(line, comments=True)
        found |= {value for flag, value in pairwise(words) if flag in FOLDERS}
    return {name for name in found if "://" not in name}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tracked files, without git's own and without what git ignores."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so what is tracked is unknown")
    for name in listed.stdout.decode().strip("\0").split("\0"):
        if (ROOT / name).is_file():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "tree" / name)
    return tmp_path / "tree"


def uploaded(tree: Path) -> dict[str, int]:
    """Return names and bytes of what Ray packs; git's ignored files are packed too, as from an archive."""
    package = tree.parent / "package.zip"
    create_package(str(tree), package, include_gitignore=False)
    with zipfile.ZipFile(package) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_data_results_and_weights_stay_and_all_code_goes(checkout: Path) -> None:
    code = set(uploaded(checkout))
    names = folders_of_readme()
    assert {"refer/data", "reclip_data", "train2014", "shards", "shards-grid", "out", "preview"} <= names
    for name in [*names, "build/quickstart", "quickstart-out", "weights"]:
        (checkout / name).mkdir(parents=True, exist_ok=True)
        (checkout / name / "large.bin").write_bytes(bytes(MIB))
    (checkout / "sam_vit_b_01ec64.pth").write_bytes(bytes(MIB))
    after = uploaded(checkout)
    assert set(after) - code == set()
    assert sum(after.values()) < 12 * MIB
    for needed in ("pipelines/refcoco_full.py", "operators/report/report.css", "pyproject.toml"):
        assert needed in after
    tracked = {str(p.relative_to(checkout)) for p in (checkout / "operators").rglob("*.py")}
    assert tracked <= set(after)
