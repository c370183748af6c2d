"""propose_grid: new shards with SAM's own proposals, a source of boxes that the benchmark then scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.dataset.scenes import prepare_scenes
from infra.dataset.shards import read_bank, read_manifest, read_shard
from infra.errors import InputError
from infra.run.options import Exit
from operators.segment.proposals import GridProposal
from operators.segment.segmenters import sam
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.propose_grid import GridOptions, propose_grid
from pipelines.refcoco_full import BenchmarkOptions, benchmark

BOXES = [[3.0, 4.0, 30.0, 25.0], [10.0, 8.0, 40.0, 33.0]]


@pytest.fixture
def shards(drawn: Path, tmp_path: Path) -> str:
    common = {"images": str(drawn / "images"), "refer": str(drawn / "refer"), "executor": "inline"}
    prepare(PrepareOptions(out=str(tmp_path / "shards"), images_per_shard=4, **common))
    return str(tmp_path / "shards")


def options(shards: str, tmp_path: Path, tiny_sam: str) -> GridOptions:
    return GridOptions(data=shards, out=str(tmp_path / "grid"), segmenter=tiny_sam, executor="inline")


def test_a_real_grid_runs(shards: str, tiny_sam: str, tmp_path: Path) -> None:
    """Random weights may propose nothing; everything else of the shards stays."""
    assert propose_grid(options(shards, tmp_path, tiny_sam)) == Exit.COMPLETE
    before, after = read_manifest(shards), read_manifest(str(tmp_path / "grid"))
    assert after.proposal_sets == sorted([*before.proposal_sets, "sam-grid"])
    assert [s.expressions for s in after.shards] == [s.expressions for s in before.shards]
    for split in after.splits:
        assert read_bank(str(tmp_path / "grid"), split) == read_bank(shards, split)


def test_a_small_sam_finds_what_it_was_trained_on(tmp_path: Path) -> None:
    prepare_scenes(str(tmp_path / "shards"), scenes=3, seed=0)
    assert propose_grid(options(str(tmp_path / "shards"), tmp_path, "sam-shapes")) == Exit.COMPLETE
    grid = str(tmp_path / "grid")
    rows = [row for shard in read_manifest(grid).shards for row in read_shard(grid, shard).to_pylist()]
    sets = [{s["name"]: s["region_ids"] for s in row["proposal_sets"]} for row in rows]
    assert len(rows) == 3 and all(found["sam-grid"] for found in sets)


def test_shards_are_not_overwritten(shards: str, tiny_sam: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder of their own"):
        propose_grid(options(shards, tmp_path, tiny_sam).model_copy(update={"out": shards}))


def test_proposals_become_regions_and_are_scored(shards, tiny_sam, tiny_vit, tmp_path, monkeypatch) -> None:
    found = [GridProposal(np.array(box), np.zeros((1, 1), dtype=bool), 0.9) for box in BOXES]
    monkeypatch.setattr(sam, "grid_proposals", lambda *_: found)
    assert propose_grid(options(shards, tmp_path, tiny_sam)) == Exit.COMPLETE
    grid = str(tmp_path / "grid")
    for shard in read_manifest(grid).shards:
        for row in read_shard(grid, shard).to_pylist():
            ids = next(s["region_ids"] for s in row["proposal_sets"] if s["name"] == "sam-grid")
            assert [row["regions"][i]["box_xywh"] for i in ids] == BOXES
            assert [region["region_id"] for region in row["regions"]] == list(range(len(row["regions"])))
    run = BenchmarkOptions(
        data=grid,
        out=str(tmp_path / "out"),
        encoders=(tiny_vit,),
        methods=("P",),
        proposals=("gold", "sam-grid"),
        executor="inline",
    )
    assert benchmark(run) == Exit.COMPLETE
    (table,) = (tmp_path / "out").glob("runs/*/tables/accuracy.md")
    assert [line.split("|")[5].strip() for line in table.read_text().splitlines()[2:]] == ["gold", "sam-grid"]
