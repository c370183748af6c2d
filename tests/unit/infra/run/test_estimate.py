"""Estimates: what a plan lacks in floating-point operations, and how long and dear that is at a pace."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_plan import SHARDS, A, B, prediction, put

from infra.errors import InputError
from infra.run import estimate
from infra.run.artifacts import ArtifactStore
from infra.run.estimate import Throughput, error_line, estimate_rows, read_throughput, work_of
from infra.run.plan import Plan
from infra.weights.flops import model_flops
from operators.methods.models import Encoder, Segmenter, Weights

GIGA = 1e9
VIEW, TOKEN, PICTURE, BOX = 7.0, 2.0, 1000.0, 10.0
# Two shards of 4 images and 12 regions each; two splits of 9 captions each.
IMAGES, REGIONS, CAPTIONS = 8, 24, 18


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a plan over two shards whose models compute round numbers."""
    told = {"e": {"view": VIEW, "token": TOKEN}, "sam": {"picture": PICTURE, "box": BOX}}
    monkeypatch.setattr(estimate, "model_flops", lambda model: told.get(model.name))

    def make(*predictions) -> Plan:
        store = ArtifactStore(str(tmp_path / "artifacts"))
        return Plan(str(tmp_path), store, (SHARDS[0], SHARDS[2]), (A, B), predictions)

    return make


def test_everything_is_counted_once(plan) -> None:
    made = plan(prediction("P|D4"), prediction("D4", proposals="detections"), prediction("I"))
    views = 2 * REGIONS + IMAGES  # of P and D4 one a region, of I one a picture
    assert work_of(made) == {
        "segment": IMAGES * PICTURE + REGIONS * BOX,
        "encode": views * VIEW,
        "texts": CAPTIONS * 12 * TOKEN,
    }


def test_what_exists_is_not_counted(plan) -> None:
    made = plan(prediction("P"), prediction("D4"))
    (masks,), features = made.graph.masks, made.graph.features
    put(made, masks, SHARDS[0])
    put(made, features[0], SHARDS[0], SHARDS[2])
    found = work_of(made)
    assert found["segment"] == IMAGES / 2 * PICTURE + REGIONS / 2 * BOX
    assert found["encode"] == REGIONS * VIEW
    for product in made.predictions:
        put(made, product, SHARDS[0], SHARDS[2])
    assert set(work_of(made).values()) == {0.0}


def test_a_model_that_does_not_tell_makes_it_unknown(plan) -> None:
    assert work_of(plan(prediction("P", "f"))) is None
    assert estimate_rows(None, None) == [("to compute", "unknown: a model does not tell")]


def test_rows() -> None:
    work = {"segment": 3.6e15, "encode": 7.2e15, "texts": 0.0}
    pace = Throughput(device="L4", tflop_per_s={"segment": 1.0, "encode": 2.0}, hour_usd=0.5)
    assert estimate_rows(work, None) == [("to compute", "segment 3,600.0 TFLOP, encode 7,200.0 TFLOP")]
    assert estimate_rows(work, pace)[1] == ("estimate", "2 hours of L4, 1.00 USD")
    slow = Throughput(device="L4", tflop_per_s={"segment": 1.0})
    assert estimate_rows(work, slow)[1] == ("estimate", "unknown: L4 was not measured in every step")
    assert estimate_rows({"segment": 0.0}, pace) == [("to compute", "nothing by models")]
    assert error_line(2.0, 3.0) == "estimated 2 device hours, took 3: 1.50 times the estimate"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("device: L4\ntflop_per_s: {encode: 0}", "greater than 0"),
        ("tflop_per_s: {encode: 1}", "Field required"),
        ("device: [", "while parsing"),
        ("device: L4\ntflop_per_s: {encode: 1}\nprice: 3", "Extra inputs"),
    ],
)
def test_other_files_are_refused(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "pace.yaml").write_text(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_throughput(str(tmp_path / "pace.yaml"))
    assert "--throughput" in str(caught.value)


def test_published_architectures_compute_what_is_known_of_them() -> None:
    """GFLOP of a 1024 x 1024 frame and of a 224 x 224 view, as others count them."""
    weights = Weights(source="/x", sha256="0" * 64, label="random")
    sam = model_flops(Segmenter(name="s", architecture="vit_b", weights=weights))
    assert sam is not None and sam["picture"] / GIGA == pytest.approx(972, rel=0.01)
    assert sam["box"] / GIGA == pytest.approx(3.6, rel=0.05)
    clip = model_flops(Encoder(name="c", architecture="ViT-B-32", weights=weights, quick_gelu=True))
    assert clip is not None and clip["view"] / GIGA == pytest.approx(8.8, rel=0.01)
    assert 77 * clip["token"] / GIGA == pytest.approx(5.96, rel=0.01)
