"""Local paths are refused where other processes would not find them."""

from __future__ import annotations

import pytest

from infra.errors import InputError
from infra.execution.reachable import require_reachable

IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IN_A_JOB, "{}")


def test_one_node_and_no_job_takes_any_path() -> None:
    require_reachable({"--data": "shards", "--out": "/out", "--artifacts": None}, 1, False)


@pytest.mark.parametrize("shared", [False, True])
def test_a_relative_path_is_refused_in_a_job(job, shared: bool) -> None:
    with pytest.raises(InputError, match="--out out: a relative path inside a job"):
        require_reachable({"--data": "s3://bucket/shards", "--out": "out"}, 1, shared)


def test_an_absolute_path_needs_the_users_word_in_a_job(job) -> None:
    with pytest.raises(InputError, match=r"--out /out: a local path inside a job; .*--shared-filesystem"):
        require_reachable({"--out": "/out"}, 1, False)
    require_reachable({"--out": "/out"}, 1, True)


def test_several_nodes_need_it_too() -> None:
    with pytest.raises(InputError, match="--data /shards: a local path with 3 nodes"):
        require_reachable({"--data": "/shards"}, 3, False)
    require_reachable({"--data": "/shards"}, 3, True)
    require_reachable({"--data": "s3://bucket/shards"}, 3, False)
