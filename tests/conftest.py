"""Fixtures shared by all tests: data, tiny models, one Ray cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from infra.execution.ray_environment import settle_ray_environment

settle_ray_environment()  # before anything imports ray

import dataset
import ray_head
import s3_server
import tiny_models
from s3_server import S3

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VPB_SHARED", ROOT.parent / "shared"))


# Longer sets with a make target of their own: left out of every run that does not ask for their marker.
ASKED_FOR = ("benchmarks", "clusters")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what lies in tests/benchmarks; leave out what is asked for with `-m`, as its make target does."""
    folder = Path(__file__).parent / "benchmarks"
    for item in items:
        if Path(item.path).is_relative_to(folder):
            item.add_marker(pytest.mark.benchmarks)
    unasked = [name for name in ASKED_FOR if name not in config.option.markexpr]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep remembered hashes of this session out of the user's cache."""
    os.environ["VPB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def photos() -> Path:
    """The RefCOCO-shaped set of real photographs, where it is available."""
    folder = SHARED / "data" / "photos"
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}; set VPB_SHARED")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RefCOCO-shaped set of drawn pictures in every file format, two datasets, with awkward boxes."""
    return dataset.write(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny open_clip vision transformer with random weights."""
    return tiny_models.write_clip(tmp_path_factory.mktemp("models") / "tiny-vit", tiny_models.VIT, seed=1)


@pytest.fixture(scope="session")
def tiny_resnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny open_clip ResNet with random weights and QuickGELU in its text tower."""
    return tiny_models.write_clip(tmp_path_factory.mktemp("models") / "tiny-rn", tiny_models.RESNET, seed=2)


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny SAM with random weights."""
    return tiny_models.write_sam(tmp_path_factory.mktemp("models") / "tiny-sam", seed=3)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server with one bucket; its address and canary credentials are in the environment."""
    with s3_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def ray_cluster(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_head.Head]:
    """The one Ray cluster of the session, two CPUs, with a job server; this process is connected to it.

    It starts after the S3 server: workers have the environment that their cluster was started in.
    """
    with ray_head.running(tmp_path_factory.mktemp("ray"), cpus=2) as head:
        yield head


@pytest.fixture(scope="session")
def run_recipe():
    """Run a recipe in a child process; returns the completed process. A variable that is None is unset."""

    def run(
        *command: str,
        timeout_s: float = 100,
        check: int | None = 0,
        cwd: Path = ROOT,
        **environment: str | None,
    ):
        variables = {**os.environ, **environment}
        completed = subprocess.run(
            [sys.executable, *command],
            cwd=cwd,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if check is not None:
            assert completed.returncode == check, completed.stdout + completed.stderr
        return completed

    return run
