"""The published tables as one command: every row, its numbers against the oracle, and nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import oracle_parses
import pytest

from infra.dataset.scenes import prepare_scenes
from infra.dataset.shards import read_manifest
from infra.run.options import Exit
from operators.methods import catalog
from operators.methods.models import Encoder, Weights
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark, make_plan

TOLERANCE = 1e-5
SPLIT = ("refcoco", "val")
RED = "{} is in red color."
# rec_scoring spec sections 12 and 13, written out once more; models stand in the order of the ensemble.
FGVP = {
    "cpt-adapted": ("P|reclip_shade,R", {"prompt": RED}),
    "reclip": ("P|reclip_blur,R", {}),
    "redcircle-p-c1-r": ("P|C1,R", {}),
    "fgvp-p-d4-r": ("P|D4,R", {}),
    "redcircle-c1-c3-c4-s-reported": ("C1|C3|C4,S", {}),
    "redcircle-c1-c3-c4-s": ("C1|C3|C4,S", {}),
    "fgvp-d1-d3-d4-s": ("D1|D3|D4,S", {}),
    "redcircle-p-c1-c3-c4-s": ("P|C1|C3|C4,S", {}),
    "fgvp-p-d1-d3-d4-s": ("P|D1|D3|D4,S", {}),
    "redcircle-p-c1-c3-c4-rs": ("P|C1|C3|C4,RS", {}),
    "fgvp-p-d1-d3-d4-rs": ("P|D1|D3|D4,RS", {}),
}
FALIP = {
    "falip-plain": ("I", {}),
    "falip-plain-s": ("I,S", {"other_images": True}),
    "falip-redcircle": ("falip_circle", {}),
    "falip-redcircle-s": ("falip_circle,S", {"other_images": True}),
    "falip-redcircle-fa": ("falip_circle+FA", {}),
    "falip-redcircle-fa-s": ("falip_circle+FA,S", {"other_images": True}),
    "falip": ("I+FA", {}),
    "falip-s": ("I+FA,S", {"other_images": True}),
    "falip-redcircle-ensemble-s": ("C1|C3|C4,S", {"other_images": True}),
    "falip-ensemble-s": ("I+FA|C3+FA|C4+FA,S", {"other_images": True}),
    "reclip": ("P|reclip_blur,R", {}),
}
# Drawings of the tables, by how many pictures they make: one a region, or one an image.
FGVP_DRAWINGS = ["P", "reclip_shade", "reclip_blur", "C1", "C3", "C4", "D1", "D3", "D4"]
FALIP_DRAWINGS = ["falip_circle", "falip_circle+FA", "C1", "C3", "C4", "C3+FA", "C4+FA", "P", "reclip_blur"]
FALIP_WHOLE = ["I", "I+FA"]


@pytest.fixture(scope="module")
def photographs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Prepared shards of the photographs with parses, by images per shard."""
    folder = tmp_path_factory.mktemp("photographs")
    raw = [sentence["raw"] for ref in references(photos) for sentence in ref["sentences"]]
    lines = [{"text": text.lower(), "parse": oracle_parses.parse(text)} for text in dict.fromkeys(raw)]
    (folder / "parses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def prepared(images_per_shard: int) -> str:
        out = folder / str(images_per_shard)
        if not out.exists():
            prepare(
                PrepareOptions(
                    images=str(photos / "images"),
                    reclip=str(photos),
                    out=str(out),
                    datasets=("refcoco",),
                    splits=("val",),
                    parses=str(folder / "parses.jsonl"),
                    images_per_shard=images_per_shard,
                    executor="inline",
                )
            )
        return str(out)

    return prepared


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("scenes"))
    prepare_scenes(folder, scenes=3, seed=5)
    return folder


def references(photos: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (photos / "refcoco_val.jsonl").read_text().splitlines()]


def options(data: str, out: Path, **other: Any) -> BenchmarkOptions:
    return BenchmarkOptions(**{"data": data, "out": str(out), "seeds": (3,), "executor": "inline"} | other)


def record(out: Path) -> dict[str, Any]:
    return json.loads((max((out / "runs").iterdir()) / "run.json").read_text())


def stored(run: BenchmarkOptions) -> dict[tuple[str, str], dict[tuple[str, str], dict[str, Any]]]:
    """Return every prediction by (method, proposals), then (dataset, expression)."""
    plan, found = make_plan(run), {}
    for product in plan.predictions:
        rows = [
            prediction
            for shard in plan.shards
            for row in plan.store.get(plan.address(product, shard)).column("predictions").to_pylist()
            for prediction in row
        ]
        by_name = {(p["dataset"], p["expression_id"]): p for p in rows}
        found[product.method.name, product.proposals] = by_name
    return found


def assert_agrees_with_the_oracle(run: BenchmarkOptions, photos: Path, rows: dict, **models: Any) -> None:
    sentences = [sentence for ref in references(photos) for sentence in ref["sentences"]]
    settled = {"parses": {s["raw"].lower(): oracle_parses.parse(s["raw"]) for s in sentences}, "seed": 3}
    answers = stored(run)
    assert answers.keys() == {(name, p) for name in rows for p in run.proposals}
    for (name, proposals), predictions in answers.items():
        notation, settings = rows[name]
        files = (photos, photos / "images", [SPLIT], notation)
        expected = oracle.probabilities(*files, proposals=proposals, **settled, **models, **settings)
        assert predictions.keys() == expected.keys()
        for key, distribution in expected.items():
            difference = np.subtract(predictions[key]["probabilities"], distribution)
            assert np.abs(difference).max() < TOLERANCE, (name, proposals, key)


@pytest.mark.timeout(600)
def test_the_fgvp_table_on_photographs(
    photographs, photos: Path, tiny_vit, tiny_resnet, tiny_sam, tmp_path: Path
) -> None:
    run = options(
        photographs(2),
        tmp_path,
        methods=("fgvp-table",),
        proposals=("detections",),
        encoders=(f"{tiny_vit},{tiny_resnet}",),
        segmenter=tiny_sam,
    )
    assert benchmark(run) == Exit.COMPLETE
    shards = read_manifest(run.data).shards
    images, regions = sum(s.images for s in shards), sum(s.regions for s in shards)
    counts = record(tmp_path)["counts"]
    assert counts["images segmented"] == counts["images encoded"] == images
    assert counts["views encoded"] == 2 * len(FGVP_DRAWINGS) * regions
    models = {"clips": [oracle.Clip(tiny_vit), oracle.Clip(tiny_resnet)], "sam": oracle.Sam(tiny_sam)}
    assert_agrees_with_the_oracle(run, photos, FGVP, **models)


@pytest.mark.timeout(600)
def test_the_falip_table_on_photographs(photographs, photos: Path, tiny_vit, tmp_path: Path) -> None:
    run = options(
        photographs(2), tmp_path, methods=("falip-table",), proposals=("gold",), encoders=(tiny_vit,)
    )
    assert benchmark(run) == Exit.COMPLETE
    shards = read_manifest(run.data).shards
    images, regions = sum(s.images for s in shards), sum(s.regions for s in shards)
    counts = record(tmp_path)["counts"]
    assert counts["images encoded"] == images and "images segmented" not in counts
    assert counts["views encoded"] == len(FALIP_DRAWINGS) * regions + len(FALIP_WHOLE) * images
    assert_agrees_with_the_oracle(run, photos, FALIP, clips=[oracle.Clip(tiny_vit)])


@pytest.mark.timeout(600)
def test_the_fgvp_table_on_scenes(scenes: str, tiny_vit, tiny_resnet, tiny_sam, tmp_path: Path) -> None:
    run = options(
        scenes,
        tmp_path,
        methods=("fgvp-table", "random"),
        encoders=(f"{tiny_vit},{tiny_resnet}",),
        segmenter=tiny_sam,
    )
    assert benchmark(run) == Exit.COMPLETE
    made, shards = record(tmp_path), read_manifest(scenes).shards
    images, regions = sum(s.images for s in shards), sum(s.regions for s in shards)
    assert made["counts"]["images segmented"] == made["counts"]["images encoded"] == images == 3
    assert made["counts"]["views encoded"] == 2 * len(FGVP_DRAWINGS) * regions
    assert len(made["ledger"]) == 2 * (len(FGVP) + 1)
    assert all(entry["ok"] == entry["planned"] > 0 for entry in made["ledger"].values())
    methods = [p["method"]["name"] for p in made["plan"]["predictions"].values()]
    assert list(dict.fromkeys(methods)) == [*FGVP, "random"]


def unresolved(text: str, dtype: str) -> Encoder:
    """Stand for an encoder whose weights nobody looks for."""
    weights = Weights(source="/nowhere", sha256="0" * 64, label="random")
    return Encoder(name=text, architecture=text, weights=weights, quick_gelu=True)


def test_rows_run_with_their_own_encoders_unless_others_are_given(scenes, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.refcoco_full.resolve_encoder", unresolved)

    def asked(methods: tuple[str, ...], encoders: tuple[str, ...]) -> dict[str, set[str]]:
        chosen: dict[str, set[str]] = {}
        run = options(
            scenes, tmp_path, methods=methods, encoders=encoders, masks="exact", proposals=("gold",)
        )
        for product in make_plan(run).predictions:
            names = ",".join(encoder.name for encoder in product.encoders)
            chosen.setdefault(product.method.name, set()).add(names)
        return chosen

    methods = ("fgvp-table", "first-box", "P")
    published = asked(methods, ())
    assert {name: published[name] for name in FGVP} == {
        name: {("ViT-B-32" if notation.endswith(",R") else "ViT-L-14-336") + ":openai,RN50x16:openai"}
        for name, (notation, _) in FGVP.items()
    }
    assert (published["first-box"], published["P"]) == ({""}, {"ViT-B-32:openai"})
    ours = asked(methods, ("one", "two,three"))
    assert ours.pop("first-box") == {""}
    assert set(ours) == {*FGVP, "P"} and all(names == {"one", "two,three"} for names in ours.values())


def test_a_method_of_ones_own_in_five_lines(scenes: str, tiny_vit, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(catalog, "NAMED", dict(catalog.NAMED))
    mine = catalog.find_method("redcircle-p-c1-r").but(
        name="mine", reduce="max", score_dtype="float16_compat"
    )
    catalog.add(mine)
    run = options(scenes, tmp_path, methods=("mine",), encoders=(tiny_vit,), proposals=("gold",))
    assert benchmark(run) == Exit.COMPLETE
    (product,) = make_plan(run).predictions
    assert product.method == mine
    scores = [p["scores"] for p in stored(run)["mine", "gold"].values()]
    flat = np.array([score for row in scores for score in row])
    assert (flat == flat.astype(np.float16)).all()


def test_results_do_not_depend_on_the_cut_of_shards(photographs, tiny_vit, tmp_path: Path) -> None:
    """rec_scoring spec section 15.6, for everything that draws lots or looks at other captions."""
    found = []
    for size in (1, 3):
        methods = ("P,R", "P,S", "P,RS", "falip-plain-s", "random")
        run = options(photographs(size), tmp_path / str(size), methods=methods, encoders=(tiny_vit,))
        assert benchmark(run) == Exit.COMPLETE
        found.append({key: {n: {**p, "error": None} for n, p in v.items()} for key, v in stored(run).items()})
    assert found[0] == found[1]
    assert len(found[0]) == 10


def test_random_is_uniform_over_the_candidates_and_repeatable(scenes: str, tmp_path: Path) -> None:
    run = options(scenes, tmp_path, methods=("random", "first-box"), proposals=("gold",))
    assert benchmark(run) == Exit.COMPLETE
    drawn, first = (list(stored(run)[name, "gold"].values()) for name in ("random", "first-box"))
    for p in drawn:
        np.testing.assert_allclose(p["probabilities"], 1 / len(p["candidate_region_ids"]), rtol=1e-6)
    places = [p["candidate_region_ids"].index(p["predicted_region_id"]) for p in drawn]
    assert all(p["predicted_region_id"] == p["candidate_region_ids"][0] for p in first)
    assert len(set(places)) > 2
    expected = sum(np.mean(np.arange(len(p["candidate_region_ids"]))) for p in drawn)
    spread = np.sqrt(sum(np.var(np.arange(len(p["candidate_region_ids"]))) for p in drawn))
    assert abs(sum(places) - expected) < 4 * spread
