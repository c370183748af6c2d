"""Recounting: from the files, and from what was remembered only while the files stay as they are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from test_plan import A, B, prediction, shard

from infra.files import storage
from infra.run.artifacts import ArtifactStore
from infra.run.counting import Recount
from infra.run.plan import Plan
from operators.rows.records import PREDICTIONS

SHARDS = (shard(0, a=2), shard(1, a=1))


def answers(*correct: bool, first: int = 0) -> pa.Table:
    rows = [
        {
            "dataset": "refcoco",
            "split": "val",
            "ref_id": "0",
            "expression_id": str(first + number),
            "candidate_region_ids": [0],
            "correct": right,
            "status": "ok",
        }
        for number, right in enumerate(correct)
    ]
    content = [{"image_key": f"image {first}", "predictions": rows}]
    return pa.Table.from_pylist(content, schema=PREDICTIONS)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A run whose two parts hold three answers, two of them right."""
    made = Plan(str(tmp_path), ArtifactStore(str(tmp_path / "artifacts")), SHARDS, (A, B), (prediction("P"),))
    (product,) = made.predictions
    made.store.put(made.address(product, SHARDS[0]), answers(True, False))
    made.store.put(made.address(product, SHARDS[1]), answers(True, first=5))
    return made


def counted(plan: Plan) -> tuple[int, int, int]:
    """Count with a fresh look at the files: right answers, parts read, parts remembered."""
    fresh = Plan(plan.data, ArtifactStore(plan.store.root), plan.shards, plan.splits, plan.predictions)
    recount = Recount(fresh)
    counts, _ = recount.count(fresh.predictions[0])
    return counts["refcoco", "val"].correct, recount.read, recount.remembered


def test_what_did_not_change_is_not_read_again(plan: Plan) -> None:
    assert counted(plan) == (2, 2, 0)
    assert counted(plan) == (2, 0, 2)


def test_a_part_of_other_content_is_counted_anew(plan: Plan) -> None:
    counted(plan)
    plan.store.put(plan.address(plan.predictions[0], SHARDS[0]), answers(True, True))
    assert counted(plan) == (3, 2, 0)
    assert counted(plan) == (3, 0, 2)
    assert len(list(Path(plan.store.root).glob("counts/*/*"))) == 1


def test_what_was_remembered_is_for_these_shards_alone(plan: Plan) -> None:
    counted(plan)
    fewer = Plan(plan.data, plan.store, SHARDS[:1], plan.splits, plan.predictions)
    assert counted(fewer) == (1, 1, 0)


def test_a_damaged_memory_is_made_anew(plan: Plan) -> None:
    counted(plan)
    (file,) = Path(plan.store.root).glob("counts/*/*")
    file.write_bytes(file.read_bytes()[:100])
    assert counted(plan) == (2, 2, 0)
    assert counted(plan) == (2, 0, 2)


def test_an_absent_part_is_named(plan: Plan) -> None:
    (product,) = plan.predictions
    Path(plan.store.url(plan.address(product, SHARDS[1]))).unlink()
    fresh = Plan(plan.data, ArtifactStore(plan.store.root), SHARDS, plan.splits, plan.predictions)
    assert Recount(fresh).absent(product) == [SHARDS[1].name]


def test_a_finished_run_asks_two_things_a_folder(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(plan)
    asked: list[str] = []
    for name in ("list_stamps", "read_bytes", "write_bytes"):
        original = getattr(storage, name)
        monkeypatch.setattr(
            storage, name, lambda url, *more, do=original, called=name: asked.append(called) or do(url, *more)
        )
    counted(plan)
    assert sorted(asked) == ["list_stamps", "list_stamps", "read_bytes"]
