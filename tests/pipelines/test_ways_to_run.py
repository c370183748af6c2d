"""Recipes run from any place, installed or not, with and without Ray, and give the same table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipelines.prepare_refcoco import PrepareOptions, prepare

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipelines", "operators", "infra")
LIMIT_S = 90

# Appended to `operators/__init__.py` of a copy: every process that imports it says which file it got.
WITNESS = """
import os, pathlib
if "VPB_WITNESS" in os.environ:
    pathlib.Path(os.environ["VPB_WITNESS"], str(os.getpid())).write_text(__file__)
"""


@pytest.fixture(scope="module")
def shards(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ways") / "shards"
    folders = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip")}
    prepare(PrepareOptions(**folders, out=str(out), executor="inline", images_per_shard=3))
    return out


@pytest.fixture(scope="module")
def flags(shards: Path, tiny_vit: str) -> list[str]:
    """Flags of a small run; its output goes to `out`, relative to where it is run."""
    methods = ["--methods", "first-box", "P", "--proposals", "gold"]
    return ["--data", str(shards), "--out", "out", "--encoders", tiny_vit, *methods]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages that is not installed anywhere."""
    folder = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "operators" / "__init__.py", "a") as file:
        file.write(WITNESS)
    return folder


def table(out: Path) -> str:
    (run,) = (out / "runs").iterdir()
    record = json.loads((run / "run.json").read_text())
    assert record["exit"] == 0
    return (run / "tables" / "accuracy.csv").read_text()


@pytest.fixture(scope="module")
def expected(flags: list[str], run_recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table as a script at the root of the checkout gives it."""
    out = tmp_path_factory.mktemp("root") / "out"
    command = ["pipelines/refcoco_full.py", *flags, "--executor", "inline", "--out", str(out)]
    run_recipe(*command, timeout_s=LIMIT_S, PYTHONPATH=None)
    found = table(out)
    assert found.count("\n") == 1 + 2 * 3  # a header; two methods, three splits
    return found


def test_as_a_module_from_the_root(flags, expected, run_recipe, tmp_path: Path) -> None:
    command = ["-m", "pipelines.refcoco_full", *flags, "--executor", "inline", "--out", str(tmp_path / "out")]
    run_recipe(*command, timeout_s=LIMIT_S, PYTHONPATH=None)
    assert table(tmp_path / "out") == expected


def test_as_a_script_from_another_folder(flags, expected, run_recipe, tmp_path: Path) -> None:
    command = [str(ROOT / "pipelines" / "refcoco_full.py"), *flags, "--executor", "inline"]
    run_recipe(*command, timeout_s=LIMIT_S, cwd=tmp_path, PYTHONPATH=None)
    assert table(tmp_path / "out") == expected  # relative paths are those of the folder it is run in


def test_as_a_module_from_another_folder(flags, expected, run_recipe, tmp_path: Path) -> None:
    """As after an installation, which is to say with the packages on the path."""
    command = ["-m", "pipelines.refcoco_full", *flags, "--executor", "inline"]
    run_recipe(*command, timeout_s=LIMIT_S, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert table(tmp_path / "out") == expected


def test_preparing_from_another_folder(drawn: Path, shards: Path, run_recipe, tmp_path: Path) -> None:
    inputs = ["--images", str(drawn / "images"), "--reclip", str(drawn / "reclip"), "--images-per-shard", "3"]
    command = [str(ROOT / "pipelines" / "prepare_refcoco.py"), *inputs, "--out", "here"]
    run_recipe(*command, "--executor", "inline", timeout_s=LIMIT_S, cwd=tmp_path, PYTHONPATH=None)
    assert (tmp_path / "here" / "manifest.json").read_bytes() == (shards / "manifest.json").read_bytes()


def test_an_uninstalled_checkout_runs_its_own_code(
    checkout: Path, flags, expected, run_recipe, tmp_path: Path
) -> None:
    (tmp_path / "witness").mkdir()
    command = [str(checkout / "pipelines" / "refcoco_full.py"), *flags, "--executor", "inline"]
    witness = str(tmp_path / "witness")
    run_recipe(*command, timeout_s=LIMIT_S, cwd=tmp_path, PYTHONPATH=None, VPB_WITNESS=witness)
    assert table(tmp_path / "out") == expected
    assert said(tmp_path / "witness") == {str(checkout / "operators" / "__init__.py")}


def said(witness: Path) -> set[str]:
    return {path.read_text() for path in witness.iterdir()}


def test_through_ray_on_a_cluster_of_its_own(
    checkout: Path, flags, expected, run_recipe, tmp_path: Path
) -> None:
    """It ends in time, and every process runs the checkout's code, not another that is on the path."""
    (tmp_path / "witness").mkdir()
    command = [str(checkout / "pipelines" / "refcoco_full.py"), *flags, "--executor", "ray"]
    run_recipe(
        *command,
        timeout_s=LIMIT_S,
        cwd=tmp_path,
        RAY_ADDRESS=None,
        RAY_JOB_ID=None,
        PYTHONPATH=str(ROOT),
        VPB_WITNESS=str(tmp_path / "witness"),
    )
    assert table(tmp_path / "out") == expected
    assert said(tmp_path / "witness") == {str(checkout / "operators" / "__init__.py")}
    assert len(list((tmp_path / "witness").iterdir())) > 2  # the job and its workers
