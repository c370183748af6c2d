"""R, RS, FALIP's filter and float16 through the scoring operator, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hand_parses import SHORT_LEFT_OF

import operators.score.operator
from operators.encode.texts import phrases
from operators.methods.method import Method, Subtraction, prompted
from operators.methods.models import Encoder, Weights
from operators.methods.products import Features, Predictions, Product, Texts
from operators.methods.variants import Variant
from operators.relations import BoxRelations, Relations, compile_expression, execute
from operators.rows.records import IMAGE_ROW, LOGIT_SCALE, features_schema, text_features_schema
from operators.rows.vectors import half_unit
from operators.score.logits import half_scores
from operators.score.operator import ScoreExpressions, described_here, draw_negatives

SCALE, DIMENSIONS = 20.0, 6
BOXES = [[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 12.0, 12.0], [40.0, 0.0, 14.0, 14.0], [60.0, 0.0, 0.0, 9.0]]
PLAIN = SHORT_LEFT_OF | {"tokens": ["red", "man"], "heads": [1, 1], "deps": [""] * 2, "noun_chunks": []}
CIRCLE = SHORT_LEFT_OF | {"heads": [1, 0, 1, 2]}
BANK = [("Man left of dog", SHORT_LEFT_OF), ("red man", PLAIN), ("no parse", None), ("circle", CIRCLE)]
PLAIN_METHOD = Method(name="m", variants=(Variant(prompt="a"), Variant(prompt="b")))


def method(**fields: object) -> Method:
    return PLAIN_METHOD.model_copy(update=fields)


def encoder(name: str) -> Encoder:
    weights = Weights(source="/x", sha256=name * 64, label="tiny")
    return Encoder(name=name, architecture=name, weights=weights, quick_gelu=False)


ENCODERS = (encoder("a"), encoder("b"))


def vectors(seed: str, count: int) -> np.ndarray:
    dice = np.random.RandomState(sum(map(ord, seed)))
    return dice.standard_normal((count, DIMENSIONS)).astype(np.float32)


def text_vector(name: str, string: str) -> np.ndarray:
    return vectors(name + string, 1)[0]


def row(numbers: Sequence[int]) -> dict:
    expressions = [
        {"expression_id": f"e{i}", "split_index": i, "text": BANK[i][0], "parse": BANK[i][1], "status": "ok"}
        for i in numbers
    ]
    regions = [
        {"region_id": i, "box_xywh": box, "sources": [], "status": "ok" if box[2] else "invalid"}
        for i, box in enumerate(BOXES)
    ]
    ref = {"ref_id": "r", "dataset": "refcoco", "split": "val", "target_region_ids": [0]}
    return {
        "image_key": "k",
        "image": b"",
        "image_sha256": "",
        "width": 100,
        "height": 100,
        "regions": regions,
        "proposal_sets": [{"name": "gold/refcoco", "region_ids": [3, 2, 0, 1]}],
        "refs": [{**ref, "expressions": expressions}],
        "status": "ok",
    }


def load(product: Product) -> pa.Table:
    if isinstance(product, Texts):
        strings = [prompted(product.template, text) for text, _ in BANK]
        if product.relations:
            strings = phrases(BANK, product.relations, product.template)
        content = [{"text": t, "feature": text_vector(product.encoder.name, t)} for t in strings]
        table = pa.Table.from_pylist(content, schema=text_features_schema(DIMENSIONS))
        return table.replace_schema_metadata({LOGIT_SCALE: repr(SCALE).encode()})
    assert isinstance(product, Features)
    image = image_features(product.encoder.name, product.variant.prompt)
    content = [{"image_key": "k", "features": [*image.tolist(), None], "error": None}]
    return pa.Table.from_pylist(content, schema=features_schema(DIMENSIONS))


def image_features(name: str, prompt: str) -> np.ndarray:
    return vectors(name + prompt + "image", 3)


def predict(wanted: Method, numbers: Sequence[int] = (0, 1, 2, 3)) -> list[dict]:
    product = Predictions(
        method=wanted, encoders=ENCODERS, proposals="gold", splits=(("refcoco", "val", "d"),)
    )
    ((_, part),) = ScoreExpressions()(pa.Table.from_pylist([row(numbers)], schema=IMAGE_ROW), [product], load)
    return part.column("predictions")[0].as_py()


def unit(vectors_ND: np.ndarray) -> np.ndarray:
    return vectors_ND / np.linalg.norm(vectors_ND, axis=-1, keepdims=True)


def expected_score(phrase: str, drawn: Sequence[int] = ()) -> np.ndarray:
    total = np.zeros(3)
    for name in ("a", "b"):
        text = unit(text_vector(name, f"a photo of {phrase}").astype(float))
        for position in drawn:
            other = unit(text_vector(name, f"a photo of {BANK[position][0].lower()}").astype(float))
            text = text - other / len(drawn)
        for prompt in ("a", "b"):
            total += SCALE * unit(image_features(name, prompt).astype(float)) @ text
    return total


def expected_relations(drawn: Sequence[int] = ()) -> np.ndarray:
    program = compile_expression(SHORT_LEFT_OF, BANK[0][0], Relations())
    assert program.texts() == ["man left of dog", "dog", "man"]
    scores = {text: expected_score(text, drawn) for text in program.texts()}
    return execute(program, scores, BoxRelations(np.array(BOXES[:3])), Relations())


@pytest.mark.parametrize("subtraction", [None, Subtraction(captions=2, seed=5)])
def test_relations_are_computed_over_the_valid_candidates(subtraction: Subtraction | None) -> None:
    found = predict(method(relations=Relations(), subtraction=subtraction), [0])[0]
    drawn = draw_negatives(subtraction, row([0])["refs"][0], "e0", 4).tolist() if subtraction else []
    assert len(drawn) == (2 if subtraction else 0)
    expected = expected_relations(drawn)
    # Candidates come as regions 3 (without area), 2, 0, 1.
    np.testing.assert_allclose(found["probabilities"], [0, *expected[[2, 0, 1]]], atol=1e-6)
    assert found["predicted_region_id"] == expected.argmax()
    np.testing.assert_allclose(
        found["scores"][1:], expected_score("man left of dog", drawn)[[2, 0, 1]], atol=1e-4
    )
    assert found["scores"][0] is None


def test_an_expression_without_keywords_is_scored_as_without_relations() -> None:
    assert predict(method(relations=Relations()), [1]) == predict(method(), [1])


def test_without_a_readable_parse_an_expression_is_set_aside() -> None:
    found = predict(method(relations=Relations()))
    assert [p["status"] for p in found] == ["ok", "ok", "quarantined", "quarantined"]
    codes = [(p["error"]["stage"], p["error"]["code"]) for p in found[2:]]
    assert codes == [("prepare", "parse.missing"), ("prepare", "parse.invalid")]
    assert "prepare with --parser or --parses" in found[2]["error"]["message"]
    assert [p["status"] for p in predict(method())] == ["ok"] * 4


def test_a_relation_nobody_satisfies_is_stored_as_the_first_valid_candidate(monkeypatch) -> None:
    monkeypatch.setattr(operators.score.operator, "execute", lambda *_: np.full(3, np.nan))
    (found,) = predict(method(relations=Relations()), [0])
    assert (found["status"], found["predicted_region_id"]) == ("ok", 2)
    assert found["probabilities"][0] == 0
    assert np.isnan(found["probabilities"][1:]).all()


def test_phrases_that_do_not_fit_are_an_error(monkeypatch) -> None:
    monkeypatch.setitem(globals(), "phrases", lambda *_: ["a photo of other"])
    with pytest.raises(ValueError, match="the stored phrases lack 'a photo of dog'"):
        predict(method(relations=Relations()), [0])


# FALIP's filter of S.


def filtered(**changes: object) -> Subtraction:
    return Subtraction(captions=3).model_copy(update=changes)


def test_captions_of_the_same_image_are_never_drawn() -> None:
    ref = {"dataset": "refcoco", "split": "val"}
    for number in range(50):
        drawn = draw_negatives(Subtraction(captions=6), ref, f"e{number}", 10, {2, 3, 9})
        assert len(set(drawn.tolist())) == 6
        assert not {2, 3, 9} & set(drawn.tolist())
    everything = draw_negatives(Subtraction(captions=500), ref, "e", 10, {2, 3, 9})
    assert sorted(everything.tolist()) == [0, 1, 4, 5, 6, 7, 8]


def test_a_filter_that_leaves_nothing_out_changes_nothing() -> None:
    ref, settings = {"dataset": "refcoco", "split": "val"}, Subtraction(captions=5)
    plain = draw_negatives(settings, ref, "e", 100).tolist()
    others = sorted(set(range(100)) - set(plain))[:10]
    assert draw_negatives(settings, ref, "e", 100, others).tolist() == plain


def test_the_filter_leaves_out_the_captions_of_the_split_alone() -> None:
    one = row([0, 2])
    other = {**one["refs"][0], "split": "testA"}
    other["expressions"] = [{**e, "split_index": 7} for e in other["expressions"]]
    both = one | {"refs": [*one["refs"], other]}
    assert described_here(both, one["refs"][0]) == {0, 2}
    assert described_here(both, other) == {7}


def test_the_filter_reaches_the_scores() -> None:
    (found,) = predict(method(subtraction=filtered(exclude_same_image=True)), [0])
    np.testing.assert_allclose(
        found["scores"][1:], expected_score("man left of dog", [1, 2, 3])[[2, 0, 1]], atol=1e-4
    )


def test_nothing_left_to_draw_is_set_aside() -> None:
    (found, *_) = predict(method(subtraction=filtered(exclude_same_image=True)))
    assert (found["status"], found["error"]["code"]) == ("quarantined", "text.no_negatives")


# float16 as published.


def test_half_precision_ties_that_single_precision_tells_apart() -> None:
    images = [[half_unit(np.array([[1.0, 0.0], [1.0, 0.004]]))]]
    texts = [half_unit(np.array([[1.0, 0.0]]))]
    found = half_scores(images, texts, [100.0], None, "sum")
    assert found.dtype == np.float16
    assert found.tolist() == [[100.0, 100.0]]


def test_half_precision_lies_on_its_grid_and_near_the_exact_scores() -> None:
    exact, half = predict(method()), predict(method(score_dtype="float16_compat"))
    for one, other in zip(exact, half, strict=True):
        scores = np.array(other["scores"][1:])
        assert (scores == scores.astype(np.float16)).all()
        np.testing.assert_allclose(scores, one["scores"][1:], atol=0.1)
    assert [p["scores"] for p in exact] != [p["scores"] for p in half]


def test_half_precision_rounds_each_step() -> None:
    subtraction = Subtraction(captions=3)
    (found,) = predict(method(score_dtype="float16_compat", subtraction=subtraction), [0])
    drawn = draw_negatives(subtraction, row([0])["refs"][0], "e0", 4)
    f16, f32 = np.float16, np.float32
    by_variant = []
    for prompt in ("a", "b"):
        positive, negative = f16(0), f16(0)
        for name in ("a", "b"):
            image = half_by_hand(image_features(name, prompt)) * f16(SCALE)
            strings = [f"a photo of {BANK[i][0].lower()}" for i in [0, *drawn]]
            texts = half_by_hand(np.stack([text_vector(name, s) for s in strings]))
            logits = (image.astype(f32) @ texts.astype(f32).T).astype(f16)
            positive, negative = positive + logits[:, 0], negative + logits[:, 1:]
        by_variant.append(positive - negative.astype(f32).mean(1).astype(f16))
    expected = (by_variant[0].astype(f32) + by_variant[1].astype(f32)).astype(f16)
    np.testing.assert_array_equal(np.array(found["scores"][1:], f16), expected[[2, 0, 1]])


def half_by_hand(vectors_ND: np.ndarray) -> np.ndarray:
    half = vectors_ND.astype(np.float16)
    return half / np.sqrt((half.astype(np.float32) ** 2).sum(1, keepdims=True)).astype(np.float16)


# What is shared.


def test_one_draw_and_one_mean_serve_all_methods_and_proposals(monkeypatch) -> None:
    calls = []

    def counted(*arguments: object) -> np.ndarray:
        calls.append(arguments[2])
        return draw_negatives(*arguments)

    monkeypatch.setattr(operators.score.operator, "draw_negatives", counted)
    subtraction = Subtraction(captions=3)
    wanted = [
        Predictions(method=m, encoders=ENCODERS, proposals="gold", splits=(("refcoco", "val", "d"),))
        for m in (method(subtraction=subtraction), method(subtraction=subtraction, relations=Relations()))
    ]
    made = list(ScoreExpressions()(pa.Table.from_pylist([row([0, 1])], schema=IMAGE_ROW), wanted, load))
    assert len(made) == 2
    assert calls == ["e0", "e1"]


def test_products_name_their_texts() -> None:
    splits = (("refcoco", "val", "d"), ("refcoco", "testA", "e"))
    quirk = Relations(zero_means_first=False)
    with_r = Predictions(method=method(relations=quirk), encoders=ENCODERS, proposals="gold", splits=splits)
    without = Predictions(method=method(), encoders=ENCODERS, proposals="gold", splits=splits)
    banks = [[t for t in row if t.relations is None] for row in with_r.texts()]
    assert banks == without.texts()
    parts = with_r.texts()[0]
    assert [t.relations for t in parts] == [None, Relations(), None, Relations()]
    assert len({t.folder for t in parts}) == 2
    other = {"relations": Relations(possessive="all")}
    longer = Texts(**{name: getattr(parts[1], name) for name in Texts.model_fields} | other)
    assert longer.fingerprint != parts[1].fingerprint
