"""The bench's own parts: what it measures on, how answers are compared, what the table says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infra.bench.machine import machine
from infra.bench.pictures import SIZE_WH, make_pictures
from infra.bench.sides import Outcome, Work, _questions, largest_difference
from infra.bench.spent import Spent
from infra.bench.table import speed_table
from infra.dataset.shards import read_bank, read_manifest, read_shard
from infra.run.options import Exit
from pipelines.bench import main

WORK = Work(
    data="",
    pictures=2,
    drawings=("P", "D4"),
    subtract=True,
    architecture="ViT-B-32",
    clip="",
    sam_architecture="vit_b",
    sam="",
    threads=1,
)


def outcome(cpu_s: float, **answers: list[float]) -> Outcome:
    steps = {"texts": cpu_s / 2}
    return Outcome(cpu_s=cpu_s, wall_s=1, model_s=cpu_s / 4, peak_mib=100, steps=steps, answers=answers)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("pictures"))
    make_pictures(folder, pictures=2, boxes=3, sentences=4, bank=50)
    return folder


def test_the_pictures_are_a_dataset_like_any_other(data: str, tmp_path: Path) -> None:
    manifest = read_manifest(data)
    (split,) = manifest.splits
    bank = read_bank(data, split)
    assert len(bank) == len(set(bank)) == 50
    rows = [row for shard in manifest.shards[:2] for row in read_shard(data, shard).to_pylist()]
    assert [(row["width"], row["height"], len(row["regions"])) for row in rows] == [(*SIZE_WH, 3)] * 2
    assert all(len(ref["expressions"]) == 4 for row in rows for ref in row["refs"])
    make_pictures(str(tmp_path), pictures=2, boxes=3, sentences=4, bank=50)
    assert read_manifest(str(tmp_path)) == manifest


def test_what_is_asked(data: str) -> None:
    asked = list(_questions(WORK.model_copy(update={"data": data})))
    assert len(asked) == 8
    names, images, boxes, captions, negatives = zip(*asked, strict=True)
    assert len(set(names)) == len(set(captions)) == 8
    assert {image.size for image in images} == {SIZE_WH}
    assert all(len(each) == 3 for each in boxes)
    assert all(
        sorted(each) == sorted(negatives[0]) for each in negatives
    )  # the whole bank: it has fewer than 500
    without = WORK.model_copy(update={"data": data, "subtract": False})
    assert all(not each for *_, each in _questions(without))


def test_answers_are_compared_by_expression() -> None:
    first = outcome(2, a=[0.2, 0.8], b=[0.6, 0.4])
    assert largest_difference(first, first) == (0, 0)
    other = outcome(1, b=[0.45, 0.55], a=[0.2, 0.8])
    most, decisions = largest_difference(first, other)
    assert most == pytest.approx(0.15) and decisions == 1
    with pytest.raises(ValueError, match="different expressions"):
        largest_difference(first, outcome(1, a=[0.2, 0.8]))


def test_the_table_tells_medians_ratios_and_spread() -> None:
    sides = {"plain": [outcome(40), outcome(60), outcome(44)], "ours": [outcome(4), outcome(5), outcome(4)]}
    table = speed_table(sides, {"plain": (1e-5, 0), "ours": (0.0, 0)}, WORK)
    assert "| whole process, CPU s | 44.0 (40.0 to 60.0), 11.0x | 4.0 (4.0 to 5.0) |" in table
    assert "| texts, CPU s | 22.0 (20.0 to 30.0), 11.0x | 2.0 (2.0 to 2.5) |" in table
    assert "| share inside models, % | 25.0 (25.0 to 25.0) | 25.0 (25.0 to 25.0) |" in table
    assert "| largest difference, other decisions | 1.0e-05, 0 | 0.0e+00, 0 |" in table


def test_time_is_cpu_time_by_step() -> None:
    spent = Spent()
    with spent.on("sleeping"):
        time.sleep(0.2)
    with spent.on("working"):
        sum(number * number for number in range(2_000_000))
    assert spent.seconds["sleeping"] < 0.1 < spent.seconds["working"] + 0.1
    assert spent.seconds["working"] > 0.02


def test_the_machine_is_told() -> None:
    found = machine()
    assert found["processors"] > 0 and found["packages"]["torch"]


def test_unknown_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--architecture", "ViT-Q", "--sam", "x.pth"]) == Exit.BAD_INPUT
    assert "no random weights of ViT-Q" in capsys.readouterr().err
