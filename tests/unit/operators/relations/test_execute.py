"""Distributions by hand, with every quirk on and off, and against an independent implementation."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hand_parses import BETWEEN_TWO, IN_SHIRT, LEFT_OF, ON_THE_LEFT, PLAIN, parse
from oracle_relations import related

from operators.relations import BoxRelations, Relations, compile_expression, execute

# From left to right, growing.
BOXES = np.array([[0, 0, 10, 10], [20, 0, 20, 20], [50, 0, 30, 30]], dtype=float)
THREE = np.log([0.2, 0.3, 0.5])


def run(
    parsed: dict,
    scores: dict[str, list[float]],
    boxes: np.ndarray = BOXES,
    large: list[bool] | None = None,
    **options: object,
) -> np.ndarray:
    settings = Relations(**options)
    program = compile_expression(parsed, " ".join(parsed["tokens"]), settings)
    table = {text: np.array(values) for text, values in scores.items()}
    mask = None if large is None else np.array(large)
    return execute(program, table, BoxRelations(boxes), settings, mask)


def equal(count: int = 3) -> list[float]:
    return [0.0] * count


def test_a_relation_by_hand() -> None:
    scores = {
        "man to the left of the woman": THREE,
        "man": np.log([0.5, 0.25, 0.25]),
        "the woman": np.log([0.1, 0.6, 0.3]),
    }
    # left of: r = (0.6 + 0.3, 0.3, 0); man x r = (0.45, 0.075, 0), normalised (6/7, 1/7, 0)
    expected = np.array([0.2 * 6 / 7, 0.3 / 7, 0])
    np.testing.assert_allclose(run(LEFT_OF, scores), expected, atol=1e-7)
    alone = run(LEFT_OF, scores, with_caption=False)
    np.testing.assert_allclose(alone, [6 / 7, 1 / 7, 0], atol=1e-7)


def test_a_superlative_by_hand() -> None:
    scores = {"man on the left": equal(), "man": THREE}
    # p_i sum_j p_j [i left of j]: 0.2 (0.3 + 0.5), 0.3 x 0.5, 0; over their sum 0.31
    expected = np.array([0.16, 0.15, 0]) / 0.31 / 3
    np.testing.assert_allclose(run(ON_THE_LEFT, scores), expected, atol=1e-7)
    head_only = run(ON_THE_LEFT, scores, superlative_head_only=True)
    np.testing.assert_allclose(head_only, np.array([2, 1, 0]) / 3 / 3, atol=1e-7)


def test_possessives_change_the_text_alone() -> None:
    scores = {
        "woman in red shirt behind a car": THREE,
        "a car": equal(),
        "woman in red shirt": equal(),
    }
    boxes = BOXES + np.array([[0, 0, 0, 0], [0, 100, 0, 0], [0, 200, 0, 0]])
    # behind is above: r = (2/3, 1/3, 0), normalised
    np.testing.assert_allclose(run(IN_SHIRT, scores, boxes), [0.2 * 2 / 3, 0.3 / 3, 0], atol=1e-7)


def test_the_caption_alone_decides_without_entity_or_keyword() -> None:
    found = run(PLAIN, {"woman in red shirt": THREE})
    np.testing.assert_allclose(found, [0.2, 0.3, 0.5], atol=1e-7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(run(parse("left", [0]), {"left": THREE}), [0.2, 0.3, 0.5], atol=1e-7)


def test_one_box_is_the_answer_whatever_its_relations() -> None:
    found = run(LEFT_OF, {"man to the left of the woman": [-5.0]}, BOXES[:1])
    assert found.tolist() == [1.0]


def test_a_relation_that_no_box_satisfies_takes_the_first_box() -> None:
    same = np.array([[0, 0, 10, 10]] * 3, dtype=float)
    scores = {"man to the left of the woman": THREE, "man": equal(), "the woman": equal()}
    found = run(LEFT_OF, scores, same)
    assert np.isnan(found).all()
    assert found.argmax() == 0
    clean = run(LEFT_OF, scores, same, zero_means_first=False)
    np.testing.assert_allclose(clean, np.array([0.2, 0.3, 0.5]) / 3, atol=1e-7)
    assert clean.argmax() == 2


def test_a_superlative_among_equals_takes_the_first_box() -> None:
    same = np.array([[0, 0, 10, 10]] * 2, dtype=float)
    scores = {"man on the left": [0.0, 1.0], "man": [0.0, 1.0]}
    assert np.isnan(run(ON_THE_LEFT, scores, same)).all()
    clean = run(ON_THE_LEFT, scores, same, zero_means_first=False)
    assert clean.argmax() == 1


@pytest.mark.parametrize(("gap", "skipped"), [(100.0, False), (106.0, True)])
def test_superlatives_are_skipped_when_the_second_probability_underflows(gap: float, skipped: bool) -> None:
    scores = {"man on the left": equal(2), "man": [0.0, gap]}
    found = run(ON_THE_LEFT, scores, BOXES[:2])
    # The right box is far more probable; left of it is the other, as soon as that has any probability.
    np.testing.assert_allclose(found, [0, 0.5] if skipped else [0.5, 0], atol=1e-7)
    if skipped:
        clean = run(ON_THE_LEFT, scores, BOXES[:2], skip_superlatives_when_certain=False)
        assert np.isnan(clean).all()


def test_superlatives_are_skipped_after_a_relation_that_leaves_one_box() -> None:
    parsed = parse("left man left of the dog", [1, 1, 1, 2, 5, 3], (0, 2), (4, 6))
    boxes = BOXES[:2]
    scores = {"left man left of the dog": equal(2), "left man": equal(2), "the dog": equal(2)}
    assert run(parsed, scores, boxes).tolist() == [0.5, 0.0]
    # With the quirk off, left of a box with probability 0 there is nothing.
    assert np.isnan(run(parsed, scores, boxes, skip_superlatives_when_certain=False)).all()


def test_a_certain_head_needs_no_superlative() -> None:
    scores = {"man on the left": equal(2), "man": np.log([0.3, 0.7])}
    plain, superlative = [0.15, 0.35], [0.5, 0.0]
    np.testing.assert_allclose(run(ON_THE_LEFT, scores, BOXES[:2]), superlative, atol=1e-7)
    np.testing.assert_allclose(run(ON_THE_LEFT, scores, BOXES[:2], certainty=2.0), plain, atol=1e-7)
    np.testing.assert_allclose(run(ON_THE_LEFT, scores, BOXES[:2], certainty=3.0), superlative, atol=1e-7)


def test_between_two_of_a_kind() -> None:
    text = "left bird between two dogs"
    boxes = np.array([[10, 0, 10, 10], [0, 0, 10, 10], [20, 0, 10, 10]], dtype=float)
    scores = {text: equal(), "left bird": equal(), "two dogs": np.log([0.02, 0.49, 0.49])}
    found = run(BETWEEN_TWO, scores, boxes, between="applied", superlatives=False, need_keyword=False)
    # Only the first lies between others: p(j) p(k) for both orders.
    np.testing.assert_allclose(found, [1 / 3, 0, 0], atol=1e-7)
    ignored = run(BETWEEN_TWO, scores, boxes, between="ignored", superlatives=False, need_keyword=False)
    np.testing.assert_allclose(ignored, [1 / 9] * 3, atol=1e-7)


def test_small_boxes_are_surroundings_but_no_answer() -> None:
    scores = {"man to the left of the woman": equal(), "man": equal(), "the woman": np.log([0.1, 0.1, 0.8])}
    found = run(LEFT_OF, scores, large=[True, True, False])
    # r = (0.9, 0.8, 0): the third is never the man, but the woman.
    np.testing.assert_allclose(found, [0.5 * 9 / 17, 0.5 * 8 / 17, 0], atol=1e-7)


def test_sigmoid_of_standardised_scores() -> None:
    scores = {"man on the left": [0.0, 0.0], "man": [1.0, 3.0]}
    options = {"probabilities": "sigmoid", "temperature": 2.0, "superlatives": False, "need_keyword": False}
    z = 2 / np.sqrt(2)
    expected = 0.5 / (1 + np.exp([z, -z]))
    np.testing.assert_allclose(run(ON_THE_LEFT, scores, BOXES[:2], **options), expected, atol=1e-7)


def test_a_text_without_scores_is_an_error() -> None:
    with pytest.raises(KeyError, match="the woman"):
        run(LEFT_OF, {"man to the left of the woman": equal(), "man": equal()})


NOUNS = ["man", "the", "of", "in", "dog", "red", "between"]
KEYWORDS = ["left", "right", "biggest", "behind", "side", "part", "smaller", "inside", "picture", "front"]
WORDS = NOUNS + KEYWORDS


def random_parse(dice: np.random.RandomState) -> dict:
    count = dice.randint(1, 11)
    order = [int(t) for t in dice.permutation(count)]
    heads = [0] * count
    for place, token in enumerate(order):
        heads[token] = order[dice.randint(place)] if place else token
    chunks, start = [], 0
    while start < count:
        length = int(dice.randint(0, 4))
        if length:
            chunks.append((start, min(start + length, count)))
        start += max(length, 1)
    return parse(" ".join(WORDS[i] for i in dice.randint(0, len(WORDS), count)), heads, *chunks)


def score(seed: int, spread: float, boxes: int, phrase: str) -> np.ndarray:
    numbers = np.random.RandomState(seed + len(phrase)).standard_normal(boxes)
    return (spread * numbers).astype(np.float32)


def test_agrees_with_the_oracle_on_random_trees() -> None:
    dice = np.random.RandomState(0)
    entities = without_answer = 0
    for _ in range(1500):
        parsed = random_parse(dice)
        boxes = dice.randint(5, 60, (dice.randint(1, 6), 4)).astype(float)
        scored = partial(score, dice.randint(10**6), dice.choice([3.0, 200.0]), len(boxes))
        text = " ".join(parsed["tokens"])
        program = compile_expression(parsed, text, Relations())
        scores = {phrase: scored(phrase) for phrase in program.texts()}
        found = execute(program, scores, BoxRelations(boxes), Relations())
        expected = related(parsed, text, boxes.tolist(), scored)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=str((parsed, boxes)))
        assert found.argmax() == expected.argmax()
        entities += program.entity is not None
        without_answer += bool(np.isnan(found).any())
    assert entities > 1000
    assert without_answer > 50
