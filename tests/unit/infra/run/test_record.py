"""What a run records about its plan can be read back to equal values, whatever machine reads it."""

from __future__ import annotations

import json

import pytest

from infra.dataset.shards import Shard, Split
from infra.errors import InputError
from infra.run.artifacts import ArtifactStore
from infra.run.finish import recorded_plan
from infra.run.plan import Plan
from infra.run.record import RecordedPlan, read_run
from operators.methods.catalog import find_method
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Predictions
from operators.prompts import registered_prompts

WEIGHTS = Weights(source="/w", sha256="0" * 64, label="tiny")
ENCODER = Encoder(name="e", architecture="{}", weights=WEIGHTS, quick_gelu=True)
SAM = Segmenter(name="s", architecture="{}", weights=WEIGHTS)
SPLIT = Split(dataset="refcoco", split="val", images=1, refs=1, expressions=2, bank="b", bank_digest="0" * 12)
SHARD = Shard(
    index=3,
    name="shard-00003-a.parquet",
    image_digest="1" * 12,
    row_digest="2" * 12,
    images=1,
    regions=1,
    quarantined_images=0,
    expressions={"refcoco/val": 2},
)


def plan(*methods: str) -> Plan:
    products = tuple(
        Predictions(
            method=(method := find_method(name)),
            encoders=(ENCODER,),
            proposals="gold",
            segmenter=SAM if any(v.mask_source == "box" for v in method.variants) else None,
            splits=(("refcoco", "val", "0" * 12),),
        )
        for name in methods
    )
    return Plan("/data", ArtifactStore("/artifacts"), (SHARD,), (SPLIT,), products)


def test_every_drawing_is_read_back_as_it_was() -> None:
    made = plan(*registered_prompts(), "P|D4,S")
    recorded = recorded_plan(made)
    again = RecordedPlan.model_validate_json(recorded.model_dump_json())
    assert again == recorded
    assert tuple(again.predictions.values()) == made.predictions
    assert [p.folder for p in again.predictions.values()] == list(again.predictions)
    (masks,) = again.masks.values()
    assert masks.segmenter == SAM
    assert (again.shards, again.splits) == ([SHARD], [SPLIT])


def test_a_run_names_its_parts_by_the_recorded_folders(tmp_path) -> None:
    recorded = json.loads(recorded_plan(plan("P")).model_dump_json())
    (product,) = recorded["predictions"].values()
    recorded["predictions"] = {"predictions/P-from-another-version": product}
    (tmp_path / "run.json").write_text(json.dumps({"exit": 0, "plan": recorded}))
    run = read_run(str(tmp_path), artifacts=str(tmp_path / "moved"))
    with pytest.raises(
        InputError, match=r"moved/predictions/P-from-another-version/shard-00003-222222222222"
    ):
        run.predictions(*run.plan.predictions)
