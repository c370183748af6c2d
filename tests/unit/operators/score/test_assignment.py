"""Assignment of regions to texts: hand-worked cases, rectangular ones, ties, nothing at all."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from operators.pixels.masks import decode_masks
from operators.score.assignment import Pair, assign, result_rows, similarities


def test_similarity_is_the_cosine_whatever_the_lengths() -> None:
    images = np.array([[[3.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [-1.0, 0.0]]])
    texts = np.array([[5.0, 0.0], [0.0, 0.1], [1.0, 1.0]])
    half = np.sqrt(0.5)
    expected = [[[1, 0, half], [0, 1, half]], [[half, half, 1], [-1, 0, -half]]]
    np.testing.assert_allclose(similarities(images, texts), expected, atol=1e-15)
    assert similarities(np.zeros((2, 0, 2)), texts).shape == (2, 0, 3)


@pytest.mark.parametrize("how", ["argmax", "one-to-one"])
def test_perfect_and_reversed_similarities(how) -> None:
    assert assign(np.eye(4), how) == [Pair(i, i) for i in range(4)]
    assert assign(1 - np.eye(2), how) == [Pair(1, 0), Pair(0, 1)]


def test_texts_share_a_region_only_by_argmax() -> None:
    similarity = [[0.9, 0.8], [0.1, 0.7]]
    assert assign(similarity, "argmax") == [Pair(0, 0), Pair(0, 1)]
    assert assign(similarity, "one-to-one") == [Pair(0, 0), Pair(1, 1)]


def test_fewer_regions_than_texts() -> None:
    """Text 1 wins the only region; the others get it by argmax alone."""
    similarity = [[0.2, 0.9, 0.4]]
    assert assign(similarity, "argmax") == [Pair(0, 0), Pair(0, 1), Pair(0, 2)]
    assert assign(similarity, "one-to-one") == [Pair(0, 1)]


def test_more_regions_than_texts() -> None:
    similarity = [[0.2, 0.3], [0.6, 0.7], [0.1, 0.65]]
    assert assign(similarity, "argmax") == [Pair(1, 0), Pair(1, 1)]
    assert assign(similarity, "one-to-one") == [Pair(1, 0), Pair(2, 1)]


def test_the_published_cost_is_not_the_sum_of_similarities() -> None:
    """The diagonal has the greater sum, 2.0 to 1.9, but exp(-2) + exp(0) > 2 exp(-0.95)."""
    similarity = np.array([[2.0, 0.95], [0.95, 0.0]])
    assert np.trace(similarity) > similarity[0, 1] + similarity[1, 0]
    assert assign(similarity) == [Pair(1, 0), Pair(0, 1)]


def test_ties_go_to_the_first_region() -> None:
    assert assign(np.full((3, 2), 0.5), "argmax") == [Pair(0, 0), Pair(0, 1)]
    pairs = assign(np.full((3, 2), 0.5))
    assert [pair.text for pair in pairs] == [0, 1] and len({pair.region for pair in pairs}) == 2
    assert pairs == assign(np.full((3, 2), 0.5))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("how", ["argmax", "one-to-one"])
def test_nothing_is_assigned_to_nothing(shape, how) -> None:
    assert assign(np.zeros(shape), how) == []


@pytest.mark.parametrize("similarity", [[[np.nan, 1.0]], [[np.inf]], [0.5, 0.6]])
def test_what_is_no_similarity_is_refused(similarity) -> None:
    with pytest.raises(ValueError, match="expected finite similarities N x M"):
        assign(similarity)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_one_to_one_is_the_cheapest_of_all_assignments(shape) -> None:
    similarity = np.random.default_rng(sum(shape)).uniform(-1, 1, shape)
    cost = np.exp(-similarity)
    wide = cost if shape[0] <= shape[1] else cost.T
    rows = range(len(wide))
    best = min(
        sum(wide[i, j] for i, j in zip(rows, p, strict=False)) for p in permutations(range(wide.shape[1]))
    )
    pairs = assign(similarity)
    assert len(pairs) == min(shape)
    assert sum(cost[pair] for pair in pairs) == pytest.approx(best, abs=1e-12)


def test_rows_are_plain_data_and_masks_come_back() -> None:
    masks = np.zeros((3, 5, 7), dtype=bool)
    masks[2, 1:3, 2:6] = True
    boxes_xyxy = np.array([[0, 0, 1, 1], [1, 1, 2, 2], [2, 1, 6, 3.5]])
    similarity = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.25]])
    (row,) = json.loads(json.dumps(result_rows([Pair(2, 1)], similarity, ["a", "b"], boxes_xyxy, masks[2:])))
    rle = {**row.pop("mask")}
    assert row == {"text": "b", "region": 2, "similarity": 0.25, "box_xyxy": [2, 1, 6, 3.5]}
    decoded = decode_masks([{"size": rle["size"], "counts": rle["counts"].encode()}], (5, 7))
    assert (decoded[0] == masks[2]).all()
    assert result_rows([Pair(0, 0)], similarity, ["a", "b"], boxes_xyxy, None)[0]["mask"] is None
    assert result_rows([], similarity, ["a", "b"], boxes_xyxy, masks[:0]) == []
