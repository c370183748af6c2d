"""What a run says of itself while it works, and what another process reads from that."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from test_plan import A, B, prediction, shard

from infra.errors import InputError
from infra.execution.settings import Settings
from infra.execution.vitals import ClusterState, Watch
from infra.run.artifacts import ArtifactStore
from infra.run.finish import recorded_plan
from infra.run.heartbeat import PROGRESS, Heartbeat
from infra.run.options import Exit
from infra.run.plan import Plan
from infra.run.provenance import utc_now
from infra.run.record import RUN
from infra.run.status import Status, newest_run, read_status
from pipelines.status import main

SHARDS = (shard(0, a=2), shard(1, a=1), shard(2, a=4))
TOTALS = {"images encoded": 12, "shards": 3}
SETTINGS = Settings(gpu_hour_usd=2.0)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A run of three shards, one of them done."""
    made = Plan(str(tmp_path), ArtifactStore(str(tmp_path / "artifacts")), SHARDS, (A, B), (prediction("P"),))
    made.store.put(made.address(made.predictions[0], SHARDS[1]), pa.table({"image_key": ["k"]}))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out" / "runs" / "20261126T000000.000000Z-abc"


def executor(counts: dict[str, int], cluster: ClusterState | None = None) -> SimpleNamespace:
    watch = Watch("images", TOTALS, lambda: counts, lambda: cluster or ClusterState())
    return SimpleNamespace(watch=watch, settings=SETTINGS)


def said(status: Status, after_s: float = 0.0) -> dict[str, str]:
    return dict(status.lines(utc_now() + timedelta(seconds=after_s)))


def test_a_run_in_progress(plan: Plan, folder: Path) -> None:
    cluster = ClusterState(nodes=4, gpus=3.0, actors={"EncodeWithClip": 3})
    counts = {"images encoded": 4, "shards": 1, "shards read": 2}
    with Heartbeat(str(folder), recorded_plan(plan), executor(counts, cluster), utc_now(), every_s=0.05):
        time.sleep(0.3)
        lines = said(read_status(newest_run(str(folder.parents[1]))))
    assert lines["run"] == str(folder)
    assert lines["state"].startswith("running, heard of 0 s ago (")
    assert lines["shards"] == "1 of 3 done, by the files"
    assert "images encoded 4/12, shards 1/3" in lines["progress"]
    assert "1 shards in hand, 1 to come; 4 nodes, 3 EncodeWithClip" in lines["progress"]
    assert lines["ends about"].endswith("USD in all")


def test_a_run_whose_node_died_is_called_silent(plan: Plan, folder: Path) -> None:
    beat = Heartbeat(str(folder), recorded_plan(plan), executor({}), utc_now(), every_s=30)
    with pytest.raises(KeyboardInterrupt), beat:
        state = (folder / PROGRESS).read_bytes()
        raise KeyboardInterrupt
    assert said(read_status(str(folder)))["state"].startswith("ended: KeyboardInterrupt()")
    (folder / PROGRESS).write_bytes(state)  # as if it had been killed
    assert said(read_status(str(folder)), 80)["state"].startswith("running")
    assert said(read_status(str(folder)), 100)["state"].startswith("silent for 100 s")


def test_a_run_that_has_ended(plan: Plan, folder: Path) -> None:
    folder.mkdir(parents=True)
    record = {"exit": int(Exit.INCOMPLETE), "plan": recorded_plan(plan).model_dump(mode="json")}
    (folder / RUN).write_text(json.dumps(record))
    lines = said(read_status(str(folder)))
    assert lines == {
        "run": str(folder),
        "state": "ended with exit 5 (incomplete)",
        "shards": "1 of 3 done, by the files",
    }


def test_a_store_that_refuses_disturbs_no_run(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Heartbeat(str(tmp_path / "file" / "run"), recorded_plan(plan), executor({}), utc_now()):
        pass
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "run.json: not JSON"), ('{"exit": 5, "plan": {"data": 1}}', "not the folder of a run")],
)
def test_other_folders_are_refused(content: str, expected: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / RUN).write_text(content)
    with pytest.raises(InputError, match=expected):
        read_status(str(folder))


def test_the_command(plan: Plan, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Heartbeat(str(folder), recorded_plan(plan), executor({}), utc_now()):
        assert main(["--out", str(folder.parents[1])]) == Exit.COMPLETE
    assert "1 of 3 done, by the files" in capsys.readouterr().out
    assert main(["--out", str(folder)]) == Exit.BAD_INPUT
    assert "has no runs; name the --out of a run" in capsys.readouterr().err
