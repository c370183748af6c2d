"""The quickstart, whole, with the bundled models: what README says of it is what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from infra.dataset.shards import read_shard
from infra.readme.quickstart import MARKS, readme_table
from infra.run.command_line import run_job
from infra.run.record import FinishedRun, read_run
from operators.pixels.masks import decode_masks, mask_iou
from operators.tables.metrics import count_predictions
from pipelines.quickstart import METHODS, QuickstartOptions, quickstart

ROOT = Path(__file__).resolve().parents[2]
# Percent that one expression is of the smallest split shown.
LARGEST_TURN = 0.4


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A finished quickstart with its defaults, in this process."""
    folder = tmp_path_factory.mktemp("quickstart")
    assert run_job(QuickstartOptions, quickstart, ["--out", str(folder), "--executor", "inline"]) == 0
    return folder


@pytest.fixture(scope="module")
def run(out) -> FinishedRun:
    (folder,) = (out / "runs").iterdir()
    return read_run(str(folder))


@pytest.fixture(scope="module")
def accuracy(run):
    """Accuracy in percent by method, proposals and dataset/split."""
    table = {}
    for folder, product in run.plan.predictions.items():
        subtraction = product.method.subtraction
        if subtraction is None or subtraction.seed == 0:
            for split, count in count_predictions(run.predictions(folder).values()).items():
                table[product.method.name, product.proposals, "/".join(split)] = count.accuracy
    return table


@pytest.fixture(scope="module")
def images(run):
    return [row for shard in run.plan.shards for row in read_shard(run.plan.data, shard).to_pylist()]


@pytest.mark.timeout(600)
def test_readme_has_the_table(run):
    """Another processor rounds float32 sums otherwise, which may turn over an expression that nearly ties."""
    made, printed = readme_table(run.folder), MARKS.inside((ROOT / "README.md").read_text(encoding="utf-8"))
    cells = [[cell.strip() for cell in text.replace("\\|", "/").split("|")] for text in (made, printed)]
    differing = [(a, b) for a, b in zip(*cells, strict=True) if a != b]
    assert len(differing) <= 3, differing
    numbers = [[[float(n) for n in re.findall(r"[\d.]+", text)] for text in pair] for pair in differing]
    moved = [abs(a - b) for ours, theirs in numbers for a, b in zip(ours, theirs, strict=True)]
    assert all(by <= LARGEST_TURN for by in moved), differing


def test_there_are_enough_expressions_and_few_enough_methods(run):
    counts: dict[str, int] = {}
    for split in run.plan.splits:
        counts[split.dataset] = counts.get(split.dataset, 0) + split.expressions
    assert set(counts) == {"scenes", "scenes+", "scenesg"}
    assert min(counts.values()) >= 300
    assert len(METHODS) <= 8


def test_drawings_point_at_what_is_meant(accuracy, images):
    gold = {method: accuracy[method, "gold", "scenes+/val"] for method in METHODS}
    shares = [
        len(ref["expressions"]) * [1 / len(row["proposal_sets"][0]["region_ids"])]
        for row in images
        for ref in row["refs"]
        if (ref["dataset"], ref["split"]) == ("scenes+", "val")
    ]
    chance = 100 * float(np.mean([c for share in shares for c in share]))
    assert gold["P"] >= 90
    assert gold["D4"] >= 90
    assert gold["P|D4"] >= max(gold["P"], gold["D4"]) - 1
    assert gold["C1"] >= 2 * chance
    for method in ("P", "D4", "C1", "P|D4"):
        assert accuracy[method, "detections", "scenes+/val"] < gold[method]


def test_the_raw_image_is_the_first_region(run):
    """All regions show the same picture, so all score the same and the first is taken."""
    chosen = 0
    for folder, product in run.plan.predictions.items():
        if product.method.name == "I":
            for part in run.predictions(folder).values():
                for prediction in (p for row in part.column("predictions").to_pylist() for p in row):
                    assert prediction["predicted_region_id"] == prediction["candidate_region_ids"][0]
                    assert len(set(prediction["scores"])) == 1
                    chosen += 1
    assert chosen > 900


def test_relations_help_where_places_are_told_and_hardly_hurt_elsewhere(accuracy):
    told = accuracy["P|D4,R", "gold", "scenes/val"] - accuracy["P|D4", "gold", "scenes/val"]
    not_told = accuracy["P|D4,R", "gold", "scenes+/val"] - accuracy["P|D4", "gold", "scenes+/val"]
    assert told >= 10
    assert not_told >= -2


def test_foveal_attention_points_too(accuracy):
    assert accuracy["I+FA", "gold", "scenes+/val"] >= accuracy["I", "gold", "scenes+/val"] + 5


def test_the_small_sam_finds_the_things(run, images):
    parts = {}
    for shard in run.plan.shards:
        (masks,) = run.masks(shard).values()
        parts |= dict(
            zip(masks.column("image_key").to_pylist(), masks.column("masks").to_pylist(), strict=True)
        )
    overlaps = []
    for row in images:
        gold = next(s["region_ids"] for s in row["proposal_sets"] if s["name"] == "gold/scenes")
        found = [parts[row["image_key"]][i] for i in gold]
        size_hw = tuple(found[0]["size"])
        exact = decode_masks([row["regions"][i]["exact_mask"] for i in gold], (row["height"], row["width"]))
        for mask, truth in zip(decode_masks(found, size_hw), exact, strict=True):
            overlaps.append(float(mask_iou(_resized(mask, truth.shape)[None], truth[None])[0, 0]))
    assert float(np.mean(overlaps)) >= 0.85


def _resized(mask_HW: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    rows = (np.arange(size_hw[0]) + 0.5) * mask_HW.shape[0] / size_hw[0]
    columns = (np.arange(size_hw[1]) + 0.5) * mask_HW.shape[1] / size_hw[1]
    return mask_HW[rows.astype(int)[:, None], columns.astype(int)]


def test_doing_it_again_computes_nothing(out, run, capsys):
    assert run_job(QuickstartOptions, quickstart, ["--out", str(out), "--executor", "inline"]) == 0
    assert "computed in this run: nothing" in capsys.readouterr().out
    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 2
    counts = [json.loads((folder / "run.json").read_text())["counts"] for folder in runs]
    assert counts[1] == {}
    assert (runs[0] / "report.html").read_bytes()[:15].lower() == b"<!doctype html>"
