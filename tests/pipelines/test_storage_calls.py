"""How many requests a run makes of its store: so many for each shard, whatever the number of shards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from infra.files import storage
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, run_benchmark

CALLS = ("read_bytes", "write_bytes", "create_bytes", "list_stamps", "list_names", "file_info")
METHODS = ("P", "D4", "P|D4,S")
# A shard with P, D4 and their three methods, on two sources of boxes: read by one stage; a masks part written
# and read; two features parts written and read by six predictions, four of which use one and two of which use
# both; six predictions written, and read once to be counted.
READS, WRITES = 1 + 1 + (4 * 1 + 2 * 2) + 6, 1 + 2 + 6


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Requests by kind, of data and results."""
    counted: Counter[str] = Counter()
    for name in CALLS:
        original = getattr(storage, name)

        def count(url, *arguments, _name=name, _original=original):
            counted[_name] += url.startswith(str(tmp_path))
            return _original(url, *arguments)

        monkeypatch.setattr(storage, name, count)
    return counted


def test_requests_grow_with_the_shards_and_a_finished_run_makes_few(
    drawn: Path, tiny_vit: str, tiny_sam: str, tmp_path: Path, asked: Counter
) -> None:
    found = {}
    for per_shard in (4, 1):
        data = str(tmp_path / f"shards-{per_shard}")
        common = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip"), "executor": "inline"}
        prepare(PrepareOptions(out=data, images_per_shard=per_shard, **common))
        options = BenchmarkOptions(
            data=data,
            out=str(tmp_path / f"out-{per_shard}"),
            methods=METHODS,
            encoders=(tiny_vit,),
            segmenter=tiny_sam,
            seeds=(0,),
            executor="inline",
        )
        asked.clear()
        assert run_benchmark(options)[0] == Exit.COMPLETE
        first = dict(asked)
        asked.clear()
        assert run_benchmark(options)[0] == Exit.COMPLETE
        shards = len(list(Path(data).glob("shard-*")))
        found[per_shard] = shards, first, dict(asked)
    (few, first_few, again_few), (many, first_many, again_many) = found[4], found[1]
    more = many - few
    assert more >= 4
    assert first_many["read_bytes"] - first_few["read_bytes"] == READS * more
    assert first_many["write_bytes"] - first_few["write_bytes"] == WRITES * more
    assert first_many["list_stamps"] == first_few["list_stamps"]
    # Nothing changed: what a rerun asks does not depend on the shards.
    assert again_many == again_few
    assert sum(again_many.values()) < 60
