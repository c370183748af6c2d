"""Image-clustered bootstrap intervals against plain loops, theory, and what no data can say."""

from __future__ import annotations

import numpy as np
import pytest

import operators.tables.intervals
from operators.tables.intervals import Interval, clustered_interval


def counts(random: np.random.Generator, images: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw images with 1 to 9 expressions; `spread` makes expressions of one image agree."""
    ok = random.integers(1, 10, images)
    rate = np.clip(0.6 + spread * random.choice([-1, 1], images), 0, 1)
    return ok, random.binomial(ok, rate)


def test_is_what_a_loop_over_samples_gives() -> None:
    ok, correct = counts(np.random.default_rng(0), 37, 0.2)
    generator, accuracies = np.random.RandomState(5), []
    for _ in range(200):
        drawn = generator.randint(37, size=37)
        accuracies.append(100 * sum(correct[i] for i in drawn) / sum(ok[i] for i in drawn))
    found = clustered_interval(ok, correct, draws=200, seed=5, level=0.9)
    assert found == pytest.approx(tuple(np.quantile(accuracies, [0.05, 0.95])), abs=1e-12)


def test_does_not_depend_on_how_many_samples_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    ok, correct = counts(np.random.default_rng(1), 50, 0.1)
    whole = clustered_interval(ok, correct, draws=100)
    monkeypatch.setattr(operators.tables.intervals, "MAX_HELD", 333)
    assert clustered_interval(ok, correct, draws=100) == whole


def test_single_expressions_give_the_binomial_interval() -> None:
    ok, correct = np.ones(1000, dtype=np.int64), np.repeat([1, 0], [700, 300])
    low, high = clustered_interval(ok, correct)
    half_width = 196 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == (pytest.approx(70 - half_width, abs=0.4), pytest.approx(70 + half_width, abs=0.4))


def test_expressions_that_agree_within_an_image_count_less() -> None:
    alone = np.ones(400, dtype=np.int64), np.tile([1, 0], 200)
    together = np.full(100, 4), np.tile([4, 0], 50)
    width = {name: np.diff(clustered_interval(*data))[0] for name, data in (("1", alone), ("4", together))}
    assert width["4"] / width["1"] == pytest.approx(2, rel=0.1)


def test_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    found = [clustered_interval(*counts(random, 200, 0.3), draws=300) for _ in range(200)]
    assert 0.90 <= np.mean([interval.holds(60) for interval in found]) <= 0.99


@pytest.mark.parametrize("ok", [[], [0, 0, 0], [7], [0, 7, 0]])
def test_fewer_than_two_images_say_nothing(ok: list[int]) -> None:
    assert clustered_interval(np.array(ok, dtype=np.int64), np.array(ok, dtype=np.int64)) is None


def test_images_without_a_scored_expression_do_not_matter() -> None:
    ok, correct = counts(np.random.default_rng(4), 20, 0.2)
    with_gaps = np.insert(ok, [0, 7, 20], 0), np.insert(correct, [0, 7, 20], 0)
    assert clustered_interval(*with_gaps) == clustered_interval(ok, correct)


def test_bounds_belong_to_the_interval() -> None:
    assert [Interval(1, 2).holds(value) for value in (0.9, 1, 1.5, 2, 2.1)] == [
        False,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(("ok", "correct"), [([1, 1], [1]), ([1, 1], [1, 2])])
def test_impossible_counts_are_refused(ok: list[int], correct: list[int]) -> None:
    with pytest.raises(ValueError, match="more right than scored"):
        clustered_interval(np.array(ok), np.array(correct))
