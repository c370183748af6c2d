"""What is bad in a row stays in its row: every way to spoil an image, box or text, one image each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenes import Scene, expression_ids, scene, write
from spoiled_rows import CASES, Case

from infra.dataset.shards import read_shard
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark, make_plan

NEIGHBOURS = 5
IMAGES_PER_SHARD = 9  # so that every spoiled image shares its shard with others


@dataclass
class Run:
    """A data set that went through preparation and benchmark.

    Attributes:
        scenes: by number.
        rows: image rows by number of the scene.
        predictions: by (method, proposals), then expression id.
        features: by (product folder, number of the scene).
    """

    scenes: dict[int, Scene]
    options: BenchmarkOptions
    exit: int
    rows: dict[int, dict]
    predictions: dict[tuple[str, str], dict[str, dict]]
    features: dict[tuple[str, int], list]

    def record(self) -> dict:
        folder = min((Path(self.options.out) / "runs").iterdir())
        return json.loads((folder / "run.json").read_text())


def run(folder: Path, scenes: list[Scene], encoder: str, segmenter: str) -> Run:
    sources = write(folder / "source", scenes)
    data = str(folder / "shards")
    prepared = PrepareOptions(
        **sources, out=data, executor="inline", images_per_shard=IMAGES_PER_SHARD, max_quarantined=1
    )
    assert prepare(prepared) == Exit.COMPLETE
    options = BenchmarkOptions(
        data=data,
        out=str(folder / "out"),
        methods=("P", "P|D4"),
        encoders=(encoder,),
        segmenter=segmenter,
        executor="inline",
    )
    status = benchmark(options)
    plan = make_plan(options)
    found = Run({s.number: s for s in scenes}, options, status, {}, {}, {})
    for shard in plan.shards:
        numbers = []
        for row in read_shard(data, shard).to_pylist():
            numbers.append(int(row["refs"][0]["ref_id"].removeprefix("scene")))
            found.rows[numbers[-1]] = row
        for product in plan.predictions:
            answers = found.predictions.setdefault((product.method.name, product.proposals), {})
            for row in plan.store.get(plan.address(product, shard)).column("predictions").to_pylist():
                answers |= {p["expression_id"]: p for p in row}
            for feature in product.features()[0]:
                part = plan.store.get(plan.address(feature, shard)).column("features").to_pylist()
                found.features |= {
                    (feature.folder, number): vectors for number, vectors in zip(numbers, part, strict=True)
                }
    return found


@pytest.fixture(scope="module")
def spoiled_numbers() -> dict[int, Case]:
    return {NEIGHBOURS + i: case for i, case in enumerate(CASES)}


@pytest.fixture(scope="module")
def clean(spoiled_numbers, tiny_vit: str, tiny_sam: str, tmp_path_factory) -> Run:
    scenes = [scene(number) for number in range(NEIGHBOURS + len(CASES))]
    for number, case in spoiled_numbers.items():
        case.clean(scenes[number])
    found = run(tmp_path_factory.mktemp("clean"), scenes, tiny_vit, tiny_sam)
    assert found.exit == Exit.COMPLETE
    assert all(p["status"] == "ok" for answers in found.predictions.values() for p in answers.values())
    return found


@pytest.fixture(scope="module")
def spoiled(spoiled_numbers, tiny_vit: str, tiny_sam: str, tmp_path_factory) -> Run:
    scenes = [scene(number) for number in range(NEIGHBOURS + len(CASES))]
    for number, case in spoiled_numbers.items():
        case.clean(scenes[number])
        case.spoil(scenes[number])
    return run(tmp_path_factory.mktemp("spoiled"), scenes, tiny_vit, tiny_sam)


@pytest.mark.parametrize(
    "number", range(NEIGHBOURS, NEIGHBOURS + len(CASES)), ids=lambda n: CASES[n - NEIGHBOURS].name
)
def test_row(number: int, spoiled_numbers, clean: Run, spoiled: Run, matrix) -> None:
    case = spoiled_numbers[number]
    present = {
        f"{number}-{r}-{k}"
        for r, texts in enumerate(spoiled.scenes[number].sentences)
        for k in range(len(texts))
    }
    codes: Counter[str] = Counter()
    for (method, proposals), answers in spoiled.predictions.items():
        expected = case.set_aside(number) if proposals in case.proposals else set()
        for name in expression_ids(number):
            if name not in present:
                assert name not in answers
                continue
            code = answers[name]["error"] and answers[name]["error"]["code"]
            assert code == (case.code if name in expected else None), (method, proposals, name)
            assert (answers[name]["probabilities"] is None) == (code is not None)
            codes[code or "ok"] += 1
            if name not in case.touched(number):
                assert answers[name] == clean.predictions[method, proposals][name]
    outcome = ", ".join(f"{code} x {count}" for code, count in sorted(codes.items())) or "counted as 0"
    if case.region:
        third = next(
            s["region_ids"][2] for s in spoiled.rows[number]["proposal_sets"] if s["name"] == "gold/refcoco"
        )
        found = spoiled.rows[number]["regions"][third]
        assert found["status"] == case.region
        for name in present - case.set_aside(number):
            probability = spoiled.predictions["P", "gold"][name]["probabilities"][2]
            assert (probability == 0) == (case.region == "invalid")
        outcome += f"; region {found['status']}"
    matrix(case.name, outcome + ("; as the plain picture, to the bit" if case.reach == "nothing" else ""))


def test_neighbours_are_equal_to_the_bit(spoiled_numbers, clean: Run, spoiled: Run, matrix) -> None:
    touched = {name for number, case in spoiled_numbers.items() for name in case.touched(number)}
    compared = 0
    for key, answers in clean.predictions.items():
        for name, prediction in answers.items():
            if name not in touched:
                assert spoiled.predictions[key][name] == prediction
                compared += 1
    vectors = 0
    for (folder, number), features in clean.features.items():
        if number not in spoiled_numbers or spoiled_numbers[number].reach != "image":
            assert spoiled.features[folder, number] == features
            vectors += len(features)
    assert compared >= NEIGHBOURS * 4 * 4
    matrix("neighbours", f"{compared} predictions and {vectors} features equal to the clean run's")


def test_everything_planned_is_accounted_for(spoiled: Run, matrix) -> None:
    record = spoiled.record()
    present = sum(len(texts) for s in spoiled.scenes.values() for texts in s.sentences)
    for entry in record["ledger"].values():
        assert entry["planned"] == entry["ok"] + entry["quarantined"] == present
    assert spoiled.exit == Exit.QUARANTINE_ABOVE_LIMIT
    lenient = spoiled.options.model_copy(update={"max_quarantined": 1.0})
    assert benchmark(lenient) == Exit.COMPLETE
    (aside,) = {e["quarantined"] for name, e in record["ledger"].items() if "P-gold" in name}
    matrix(
        "accounting",
        f"planned {present} = ok {present - aside} + set aside {aside}; exit 3, or 0 under the limit",
    )


def test_a_text_that_is_cut_is_reported(clean: Run, spoiled: Run, matrix) -> None:
    assert "texts truncated" not in clean.record()["counts"]
    assert spoiled.record()["counts"]["texts truncated"] == 1
    matrix("text 10 kB: report", "run.json and the closing lines: 1 texts truncated")
