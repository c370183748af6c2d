"""Scores by hand: softmax, ensembles, ties, targets, subtraction, and what is set aside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from operators.methods.catalog import FIRST_BOX
from operators.methods.method import Method, Subtraction, prompted
from operators.methods.models import Encoder, Weights
from operators.methods.products import Features, Predictions, Product, Texts
from operators.methods.variants import variant
from operators.pixels.geometry import INVALID
from operators.rows.records import IMAGE_ROW, LOGIT_SCALE, error, features_schema, text_features_schema
from operators.rows.vectors import softmax32
from operators.score.operator import ScoreExpressions, candidate_regions, draw_negatives

SCALE = 10.0
BOXES = [[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 10.0, 10.0], [40.0, 0.0, 10.0, 10.0]]
ONE, TWO = (Method(name=n, variants=tuple(map(variant, n.split("|")))) for n in ("P", "P|I"))


def encoder(name: str = "a") -> Encoder:
    return Encoder(
        name=name,
        architecture=name,
        weights=Weights(source="/x", sha256=name * 64, label="tiny"),
        quick_gelu=False,
    )


def direction(cosine: float, length: float = 1.0) -> list[float]:
    """A vector that has the given cosine with (1, 0)."""
    return [length * cosine, length * math.sqrt(1 - cosine**2)]


def expression(text: str = "cat", index: int = 0, fault: dict | None = None) -> dict:
    status = "quarantined" if fault else "ok"
    return {
        "expression_id": f"e{index}",
        "split_index": index,
        "text": text,
        "parse": None,
        "status": status,
        "error": fault,
    }


def ref(
    *expressions: dict, targets: Sequence[int] = (0,), dataset: str = "refcoco", split: str = "val"
) -> dict:
    return {
        "ref_id": "r",
        "dataset": dataset,
        "split": split,
        "target_region_ids": list(targets),
        "expressions": list(expressions) or [expression()],
    }


def image(
    refs: Sequence[dict],
    boxes: Sequence[list[float]] = BOXES,
    candidates: Sequence[int] | None = None,
    invalid: Sequence[int] = (),
    name: str = "gold/refcoco",
    key: str = "k",
) -> dict:
    ids = list(range(len(boxes)) if candidates is None else candidates)
    return {
        "image_key": key,
        "image": b"",
        "image_sha256": "",
        "width": 100,
        "height": 100,
        "regions": [
            {
                "region_id": i,
                "box_xywh": box,
                "sources": [],
                "status": INVALID if i in invalid else "ok",
                "exact_mask": None,
            }
            for i, box in enumerate(boxes)
        ],
        "proposal_sets": [{"name": name, "region_ids": ids}],
        "refs": list(refs),
        "status": "ok",
        "error": None,
    }


def features_part(
    images: Sequence[Sequence[list[float] | None]], faults: Sequence[dict | None] | None = None
):
    rows = [
        {"image_key": str(i), "features": list(vectors), "error": faults[i] if faults else None}
        for i, vectors in enumerate(images)
    ]
    return pa.Table.from_pylist(rows, schema=features_schema(2))


def texts_part(bank: Sequence[tuple[str, list[float]]], scale: float = SCALE, template: str = ONE.template):
    rows = [{"text": prompted(template, text), "feature": vector} for text, vector in bank]
    table = pa.Table.from_pylist(rows, schema=text_features_schema(2))
    return table.replace_schema_metadata({LOGIT_SCALE: repr(scale).encode()})


CAT = [("cat", [3.0, 0.0])]


def score(
    rows: Sequence[dict],
    part: Callable[[Features], pa.Table] | pa.Table,
    bank: Callable[[Texts], pa.Table] | pa.Table | None = None,
    method: Method = ONE,
    encoders: tuple[Encoder, ...] = (encoder(),),
    proposals: str = "gold",
    splits: Sequence[tuple[str, str]] = (("refcoco", "val"),),
) -> list[list[dict]]:
    """Run the operator on stored parts and return the predictions by image."""
    bank = texts_part(CAT) if bank is None else bank
    names = tuple((*split, "digest") for split in splits)
    product = Predictions(method=method, encoders=encoders, proposals=proposals, splits=names)

    def load(wanted: Product) -> pa.Table:
        source = part if isinstance(wanted, Features) else bank
        return source(wanted) if callable(source) else source

    reported: dict[str, int] = {}
    operator = ScoreExpressions(report=lambda event, n: reported.update({event: reported.get(event, 0) + n}))
    table = pa.Table.from_pylist(list(rows), schema=IMAGE_ROW)
    ((made, found),) = operator(table, [product], load)
    assert made is product
    assert found.column("image_key").to_pylist() == [row["image_key"] for row in rows]
    predictions = found.column("predictions").to_pylist()
    assert reported == {"expressions scored": sum(map(len, predictions))}
    return predictions


def score_one(*arguments: object, **options: object) -> dict:
    ((prediction,),) = score(*arguments, **options)
    return prediction


def test_three_boxes_by_hand() -> None:
    vectors = [direction(0.1, 5), direction(0.4), direction(-0.2, 0.3)]
    found = score_one([image([ref(targets=[1])])], features_part([vectors]))
    np.testing.assert_allclose(found["scores"], [1, 4, -2], atol=1e-5)
    # e^1, e^4, e^-2 over their sum
    np.testing.assert_allclose(found["probabilities"], [0.0473136, 0.9503307, 0.0023556], atol=1e-6)
    assert (found["predicted_region_id"], found["correct"], found["status"]) == (1, True, "ok")
    assert found["candidate_region_ids"] == [0, 1, 2]
    names = [found[k] for k in ("dataset", "split", "ref_id", "expression_id", "error")]
    assert names == ["refcoco", "val", "r", "e0", None]


def test_the_wrong_box_is_wrong() -> None:
    vectors = [direction(0.1), direction(0.4), direction(-0.2)]
    assert score_one([image([ref(targets=[0])])], features_part([vectors]))["correct"] is False


def test_expressions_get_their_own_line_of_the_bank() -> None:
    bank = texts_part([("dog", [0.0, 1.0]), ("cat", [1.0, 0.0])])
    vectors = [direction(0.0), direction(1.0), direction(0.0)]
    rows = [image([ref(expression("cat", 1), expression("DOG", 0))])]
    ((cat, dog),) = score(rows, features_part([vectors]), bank)
    assert (cat["expression_id"], cat["predicted_region_id"]) == ("e1", 1)
    assert (dog["expression_id"], dog["predicted_region_id"]) == ("e0", 0)


def test_a_bank_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 0 says 'a photo of dog', expression e0 'cat'"):
        score([image([ref()])], features_part([[[1, 0]] * 3]), texts_part([("dog", [1.0, 0.0])]))


def test_encoders_and_variants_are_summed() -> None:
    by_place = {("a", "P"): 0.1, ("a", "I"): 0.2, ("b", "P"): 0.3, ("b", "I"): -0.4}

    def part(wanted: Features) -> pa.Table:
        cosine = by_place[wanted.encoder.name, wanted.variant.code]
        return features_part([[direction(cosine), direction(0.0), direction(0.0)]])

    def bank(wanted: Texts) -> pa.Table:
        return texts_part(CAT, scale={"a": 10.0, "b": 100.0}[wanted.encoder.name])

    both = (encoder("a"), encoder("b"))
    found = score_one([image([ref()])], part, bank, TWO, both)
    np.testing.assert_allclose(found["scores"], [1 + 2 + 30 - 40, 0, 0], atol=1e-4)
    largest = TWO.model_copy(update={"reduce": "max"})
    found = score_one([image([ref()])], part, bank, largest, both)
    # Encoders are summed first: max(1 + 30, 2 - 40).
    np.testing.assert_allclose(found["scores"], [31, 0, 0], atol=1e-4)


def test_ties_go_to_the_first_candidate() -> None:
    vectors = [direction(0.0), direction(0.5), direction(0.5)]
    assert score_one([image([ref()])], features_part([vectors]))["predicted_region_id"] == 1
    reordered = image([ref()], candidates=[2, 0, 1])
    found = score_one([reordered], features_part([vectors]))
    assert (found["candidate_region_ids"], found["predicted_region_id"]) == ([2, 0, 1], 2)


def test_a_method_without_drawings_takes_the_first_valid_box() -> None:
    empty = features_part([[]])
    found = score_one([image([ref(targets=[0])])], empty, method=FIRST_BOX, encoders=())
    assert (found["scores"], found["predicted_region_id"], found["correct"]) == ([0.0] * 3, 0, True)
    np.testing.assert_allclose(found["probabilities"], [1 / 3] * 3)
    found = score_one([image([ref()], invalid=[0])], empty, method=FIRST_BOX, encoders=())
    assert (found["probabilities"], found["predicted_region_id"]) == ([0.0, 0.5, 0.5], 1)


def test_an_invalid_candidate_has_probability_zero_and_no_score() -> None:
    vectors = [direction(0.1), None, direction(0.2)]
    found = score_one([image([ref(targets=[2])], invalid=[1])], features_part([vectors]))
    assert found["scores"][1] is None
    assert found["probabilities"][1] == 0
    np.testing.assert_allclose(
        found["probabilities"], [1 / (1 + math.e), 0, math.e / (1 + math.e)], atol=1e-6
    )
    assert found["correct"] is True


def test_a_repeated_candidate_counts_twice() -> None:
    vectors = [direction(0.1), direction(0.2), direction(0.0)]
    found = score_one([image([ref()], candidates=[1, 0, 1])], features_part([vectors]))
    np.testing.assert_allclose(found["scores"], [2, 1, 2], atol=1e-5)
    total = 2 * math.e**2 + math.e
    np.testing.assert_allclose(
        found["probabilities"], [math.e**2 / total, math.e / total, math.e**2 / total], atol=1e-6
    )
    assert found["predicted_region_id"] == 1


@pytest.mark.parametrize(
    ("width", "correct"),
    [(20.0, False), (19.9, True), (5.0, False), (5.1, True)],
)
def test_right_means_an_overlap_strictly_above_one_half(width: float, correct: bool) -> None:
    boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, width, 10.0]]
    rows = [image([ref(targets=[1])], boxes=boxes, candidates=[0])]
    found = score_one(rows, features_part([[[1, 0], None]]))
    assert found["correct"] is correct


def test_any_of_several_targets_counts() -> None:
    vectors = [direction(0.0), direction(0.0), direction(0.9)]
    assert score_one([image([ref(targets=[0, 2])])], features_part([vectors]))["correct"] is True
    assert score_one([image([ref(targets=[0, 1])])], features_part([vectors]))["correct"] is False


@pytest.mark.parametrize("bad", [[math.nan, 0.0], [math.inf, 1.0], [0.0, 0.0]])
def test_a_score_that_is_not_finite_is_set_aside(bad: list[float]) -> None:
    rows = [image([ref()], key="bad"), image([ref()], key="good")]
    good = [direction(0.0), direction(0.5), direction(0.0)]
    (first,), (second,) = score(rows, features_part([[direction(0.5), bad, direction(0.0)], good]))
    assert (first["status"], first["error"]["stage"], first["error"]["code"]) == (
        "quarantined",
        "score",
        "score.nonfinite",
    )
    assert [first[k] for k in ("scores", "probabilities", "predicted_region_id", "correct")] == [None] * 4
    assert (second["status"], second["predicted_region_id"]) == ("ok", 1)


def test_a_candidate_that_was_not_shown_spoils_the_expressions_that_have_it() -> None:
    """Drawings of the dataset's own masks are made of the regions that have one."""
    rows = [image([ref()], key="whole"), image([ref()], key="part", candidates=[0, 2])]
    vectors = [direction(0.5), None, direction(0.0)]
    (whole,), (part,) = score(rows, features_part([vectors, vectors]))
    assert (whole["status"], whole["error"]["code"], whole["correct"]) == (
        "quarantined",
        "mask.missing",
        None,
    )
    assert part["status"] == "ok" and part["scores"] is not None


def test_a_bad_text_vector_spoils_its_expression_alone() -> None:
    bank = texts_part([("cat", [math.nan, 1.0]), ("dog", [1.0, 0.0])])
    rows = [image([ref(expression("cat", 0), expression("dog", 1))])]
    ((cat, dog),) = score(rows, features_part([[[1, 0], [0, 1], [0, 1]]]), bank)
    assert (cat["status"], dog["status"]) == ("quarantined", "ok")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (image([ref()], candidates=[]), "regions.none"),
        (image([ref()], name="detections/refcoco"), "regions.none"),
        (image([ref()], invalid=[0, 1, 2]), "regions.invalid"),
        (image([ref(expression(fault=error("prepare", "text.empty", "")))]), "text.empty"),
    ],
)
def test_what_cannot_be_scored_is_set_aside_with_a_reason(row: dict, code: str) -> None:
    found = score_one([row], features_part([[[1, 0]] * 3]))
    assert (found["status"], found["error"]["code"], found["correct"]) == ("quarantined", code, None)


def test_a_fault_of_the_features_is_passed_on() -> None:
    fault = error("encode", "image.truncated", "cut")
    found = score_one([image([ref()])], features_part([[]], [fault]))
    assert (found["status"], found["error"]) == ("quarantined", fault)


def test_an_image_without_expressions_has_no_predictions() -> None:
    assert score([image([])], features_part([[[1, 0]] * 3])) == [[]]


def test_only_chosen_splits_are_scored() -> None:
    rows = [image([ref(), ref(split="testA"), ref(dataset="refcoco+")])]
    ((found,),) = score(rows, features_part([[[1, 0]] * 3]))
    assert (found["dataset"], found["split"]) == ("refcoco", "val")


def test_candidates_of_the_dataset_come_before_common_ones() -> None:
    sets = [
        {"name": "gold", "region_ids": [5]},
        {"name": "gold/refcoco", "region_ids": [2, 1]},
        {"name": "detections/refcoco", "region_ids": [0]},
    ]
    row = {"proposal_sets": sets}
    assert candidate_regions(row, "gold", "refcoco") == [2, 1]
    assert candidate_regions(row, "gold", "refcocog") == [5]
    assert candidate_regions(row, "detections", "refcocog") == []


def test_softmax_of_large_numbers() -> None:
    np.testing.assert_allclose(softmax32(np.array([1000.0, 1000.0 + math.log(3)])), [0.25, 0.75])
    np.testing.assert_array_equal(softmax32(np.array([0.0, -1e6])), [1, 0])


# Score subtraction S.


def draw(captions: int, bank: int, *, seed: int = 0, expression_id: str = "e", **changes: str) -> list[int]:
    place = {"dataset": "refcoco", "split": "val"} | changes
    return draw_negatives(Subtraction(captions=captions, seed=seed), place, expression_id, bank).tolist()


def test_a_draw_is_without_replacement_and_within_the_bank() -> None:
    drawn = draw(500, 10_834)
    assert len(set(drawn)) == 500
    assert min(drawn) >= 0
    assert max(drawn) < 10_834


def test_a_small_bank_is_drawn_whole() -> None:
    assert sorted(draw(500, 7)) == list(range(7))


def test_a_draw_depends_on_every_part_of_its_key_and_on_nothing_else() -> None:
    first = draw(50, 1000)
    np.random.seed(1)
    assert draw(50, 1000) == first
    others = [
        draw(50, 1000, seed=1),
        draw(50, 1000, expression_id="f"),
        draw(50, 1000, dataset="refcoco+"),
        draw(50, 1000, split="testA"),
    ]
    assert all(other != first for other in others)
    assert len({tuple(other) for other in others}) == 4


def test_draws_are_uniform_over_the_bank() -> None:
    counts = np.bincount([p for i in range(2000) for p in draw(5, 20, expression_id=str(i))], minlength=20)
    assert counts.sum() == 10_000
    # 500 expected each; five standard deviations of a hypergeometric draw are about 97.
    assert np.abs(counts - 500).max() < 97


def test_subtraction_by_hand() -> None:
    # The bank is drawn whole: the mean unit vector of (1,0), (0,1), (0,1), (-1,0) is (0, 0.5).
    bank = texts_part([("cat", [2.0, 0.0]), ("b", [0.0, 1.0]), ("c", [0.0, 7.0]), ("d", [-1.0, 0.0])])
    method = ONE.model_copy(update={"subtraction": Subtraction()})
    vectors = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
    found = score_one([image([ref()])], features_part([vectors]), bank, method)
    np.testing.assert_allclose(found["scores"], [10, -5, 6 - 4], atol=1e-5)


def test_subtraction_equals_the_mean_of_the_drawn_scores() -> None:
    dice = np.random.RandomState(0)
    bank = [("cat", dice.standard_normal(2).tolist())] + [
        (f"caption {i}", dice.standard_normal(2).tolist()) for i in range(30)
    ]
    vectors = dice.standard_normal((3, 2)).tolist()
    settings = Subtraction(captions=7, seed=3)
    method = ONE.model_copy(update={"subtraction": settings})
    rows = [image([ref()])]
    part = features_part([vectors])
    found = score_one(rows, part, texts_part(bank), method)["scores"]
    positive = np.array(score_one(rows, part, texts_part(bank))["scores"])
    drawn = draw_negatives(settings, rows[0]["refs"][0], "e0", len(bank))
    negatives = []
    for position in drawn:
        text, _ = bank[position]
        one = image([ref(expression(text, int(position)))])
        negatives.append(score_one([one], part, texts_part(bank))["scores"])
    np.testing.assert_allclose(found, positive - np.mean(negatives, axis=0), atol=1e-4)


def test_subtraction_comes_before_the_largest_variant_is_taken() -> None:
    bank = texts_part([("cat", [1.0, 0.0]), ("b", [0.0, 1.0])])

    def part(wanted: Features) -> pa.Table:
        vector = {"P": [0.8, 0.6], "I": [0.6, -0.8]}[wanted.variant.code]
        return features_part([[vector, [1.0, 0.0], [1.0, 0.0]]])

    method = TWO.model_copy(update={"reduce": "max", "subtraction": Subtraction()})
    found = score_one([image([ref()])], part, bank, method)
    # P: 8 - (8 + 6) / 2 = 1; I: 6 - (6 - 8) / 2 = 7. Without S, P has the larger score.
    np.testing.assert_allclose(found["scores"][0], 7, atol=1e-5)
