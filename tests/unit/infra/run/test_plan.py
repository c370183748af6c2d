"""Plans: which shards a limit takes, and which parts are missing and needed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from infra.dataset.shards import FORMAT, Manifest, Shard, Split
from infra.run.artifacts import ArtifactStore
from infra.run.plan import Plan, choose_shards, describe, totals
from operators.methods.catalog import FIRST_BOX
from operators.methods.method import Method
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Predictions, Product, Texts
from operators.methods.variants import variant

ROOT = Path(__file__).resolve().parents[4]
NAMES = ("refcoco/val", "refcoco/testA", "refcocog/val")


def shard(index: int, images: int = 4, **expressions: int) -> Shard:
    by_split = {NAMES["abc".index(key)]: n for key, n in expressions.items()}
    return Shard(
        index=index,
        name=f"shard-{index:05d}-x.parquet",
        image_digest=f"image{index}",
        row_digest=f"row{index}",
        images=images,
        regions=3 * images,
        quarantined_images=0,
        expressions=by_split,
    )


def split(name: str) -> Split:
    dataset, part = name.split("/")
    return Split(
        dataset=dataset, split=part, images=1, refs=1, expressions=9, bank="b", bank_digest=f"bank-{part}"
    )


A, B, C = map(split, NAMES)
SHARDS = [shard(0, a=5), shard(1, b=7), shard(2, a=2, b=3), shard(3, c=8), shard(4, a=1)]
MANIFEST = Manifest(format=FORMAT, images_per_shard=4, proposal_sets=[], splits=[A, B, C], shards=SHARDS)


def encoder(name: str) -> Encoder:
    weights = Weights(source="/x", sha256=name, label="tiny")
    return Encoder(name=name, architecture=name, weights=weights, quick_gelu=False)


def prediction(
    notation: str, encoders: str = "e", proposals: str = "gold", splits: tuple[Split, ...] = (A, B)
) -> Predictions:
    variants = tuple(map(variant, notation.split("|")))
    drawn_with_masks = any(v.mask_source == "box" for v in variants)
    weights = Weights(source="/sam", sha256="sam", label="tiny")
    return Predictions(
        method=Method(name=notation, variants=variants),
        encoders=tuple(map(encoder, encoders)),
        proposals=proposals,
        segmenter=Segmenter(name="sam", architecture="vit_b", weights=weights) if drawn_with_masks else None,
        splits=tuple((s.dataset, s.split, s.bank_digest) for s in splits),
    )


@pytest.fixture
def plan(tmp_path: Path):
    """Make a plan over shards 0 and 2 of an empty store."""

    def make(*predictions: Predictions) -> Plan:
        store = ArtifactStore(str(tmp_path / "artifacts"))
        return Plan(str(tmp_path), store, (SHARDS[0], SHARDS[2]), (A, B), predictions)

    return make


def put(plan: Plan, product: Product, *shards: Shard) -> None:
    for place in shards or (None,):
        plan.store.put(plan.address(product, place), pa.table({"image_key": ["k"]}))


@pytest.mark.parametrize(
    ("splits", "limit", "expected"),
    [
        ((A, B, C), None, [0, 1, 2, 3, 4]),
        ((A,), None, [0, 2, 4]),
        ((C,), None, [3]),
        # Shards have 4 images each: a limit is rounded up to whole ones.
        ((A,), 1, [0]),
        ((A,), 4, [0]),
        ((A,), 5, [0, 2]),
        ((A,), 8, [0, 2]),
        ((A,), 9, [0, 2, 4]),
        ((A,), 10_000, [0, 2, 4]),
        ((C,), 1, [3]),
    ],
)
def test_chosen_shards(splits: tuple[Split, ...], limit: int | None, expected: list[int]) -> None:
    assert [s.index for s in choose_shards(MANIFEST, splits, limit)] == expected


def test_addresses(plan) -> None:
    made = plan(prediction("P"))
    (product,) = made.predictions
    ((features,),) = product.features()
    ((texts, _),) = product.texts()
    assert made.address(product, SHARDS[2]).name == "shard-00002-row2.parquet"
    assert made.address(features, SHARDS[2]).name == "shard-00002-image2.parquet"
    assert made.address(texts).name == "refcoco-val-bank-val.parquet"
    assert made.address(texts).folder.startswith("texts/e-")


def test_everything_is_missing_at_first(plan) -> None:
    made = plan(prediction("P", "ef"), prediction("P|I", "e"), prediction("P", "e", "detections"))
    first = SHARDS[0]
    assert made.pending_shards() == [SHARDS[0], SHARDS[2]]
    assert made.missing_predictions(first) == list(made.predictions)
    names = [(f.variant.code, f.encoder.name) for f in made.missing_features(first)]
    assert names == [("P", "e"), ("P", "f"), ("I", "e")]  # each once
    texts = [(t.encoder.name, t.split) for t in made.missing_texts()]
    assert texts == [("e", "val"), ("e", "testA"), ("f", "val"), ("f", "testA")]


def test_only_what_a_missing_prediction_needs_is_missing(plan) -> None:
    one, two = prediction("P", "e"), prediction("I", "f")
    made = plan(one, two)
    put(made, one, SHARDS[0], SHARDS[2])
    put(made, two, SHARDS[2])
    assert made.pending_shards() == [SHARDS[0]]
    assert made.missing_predictions(SHARDS[2]) == []
    assert made.missing_features(SHARDS[2]) == []
    assert [(f.variant.code, f.encoder.name) for f in made.missing_features(SHARDS[0])] == [("I", "f")]
    assert {t.encoder.name for t in made.missing_texts()} == {"f"}


def test_parts_that_exist_are_not_made_again(plan) -> None:
    made = plan(prediction("P|I"))
    (product,) = made.predictions
    ((crop, raw),) = product.features()
    ((val, test_a),) = product.texts()
    put(made, crop, SHARDS[0])
    put(made, val)
    assert made.missing_features(SHARDS[0]) == [raw]
    assert made.missing_features(SHARDS[2]) == [crop, raw]
    assert made.missing_texts() == [test_a]
    assert made.pending_shards() == [SHARDS[0], SHARDS[2]]


def test_nothing_is_missing_once_the_predictions_exist(plan) -> None:
    made = plan(prediction("P"))
    put(made, made.predictions[0], SHARDS[0], SHARDS[2])
    assert made.pending_shards() == made.missing_texts() == []
    assert "not needed" in describe(made, "cpu")


def test_masks_are_needed_by_missing_features_alone(plan) -> None:
    made = plan(prediction("P|D4"), prediction("D3"))
    features = made.missing_features(SHARDS[0])
    assert [f.masks is not None for f in features] == [False, True, True]
    (masks,) = made.missing_masks(SHARDS[0])
    for feature in features:
        put(made, feature, SHARDS[0])
    assert made.missing_masks(SHARDS[0]) == []
    assert made.missing_masks(SHARDS[2]) == [masks]
    put(made, masks, SHARDS[2])
    assert made.missing_masks(SHARDS[2]) == []


def test_a_method_without_drawings_needs_no_model(plan) -> None:
    splits = tuple((s.dataset, s.split, s.bank_digest) for s in (A, B))
    made = plan(Predictions(method=FIRST_BOX, encoders=(), proposals="gold", splits=splits))
    assert made.missing_features(SHARDS[0]) == made.missing_texts() == []
    assert made.pending_shards() == [SHARDS[0], SHARDS[2]]


def counted(made: Plan) -> tuple[int, int, int]:
    found = totals(made, made.pending_shards())
    return found["images encoded"], found["expressions scored"], found["shards"]


def test_planned_expressions_and_totals(plan) -> None:
    one, two = prediction("P"), prediction("I")
    made = plan(one, two)
    assert made.planned_expressions() == {("refcoco", "val"): 7, ("refcoco", "testA"): 3}
    assert counted(made) == (8, 20, 2)
    put(made, one, SHARDS[0])
    put(made, two.features()[0][0], SHARDS[0])
    assert counted(made) == (4, 15, 2)


def test_the_plan_as_text(plan) -> None:
    made = plan(prediction("P"), prediction("P|I"))
    put(made, made.predictions[0], SHARDS[0])
    lines = dict(line.strip().split("  ", 1) for line in describe(made, "cpu").splitlines()[1:])
    lines = {name: text.strip() for name, text in lines.items()}
    assert lines["images"] == "8 in 2 shards"
    assert lines["regions"] == "24"
    assert lines["expressions"] == "refcoco val: 7, refcoco testA: 3"
    assert lines["predictions"] == "4 parts, 1 exist, 3 to make"
    assert lines["features"] == "4 parts, 0 exist, 4 to make"
    assert lines["texts to encode"] == "2 caption banks"
    assert lines["artifacts"] == made.store.root


def test_a_plan_travels_without_what_it_remembers(plan) -> None:
    made = plan(prediction("P"))
    assert made.pending_shards()
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301
    assert copy == made
    put(made, made.predictions[0], SHARDS[0], SHARDS[2])
    assert copy.pending_shards() == []


def test_a_text_part_is_shared_by_shards_and_proposals(plan) -> None:
    gold, found = prediction("P"), prediction("P", proposals="detections")
    assert gold.texts() == found.texts()
    assert gold.features() == found.features()
    assert gold.fingerprint != found.fingerprint
    assert isinstance(gold.texts()[0][0], Texts)


def test_planning_imports_neither_ray_nor_torch() -> None:
    code = "import sys, infra.run.plan; print(sorted({'ray', 'torch', 'open_clip'} & set(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"
