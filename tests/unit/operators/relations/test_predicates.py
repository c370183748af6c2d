"""Relation matrices by hand."""

from __future__ import annotations

import numpy as np
import pytest

from operators.relations import BoxRelations

# Small at the left top, large in the middle, one inside it, one equal to the first.
BOXES = np.array([[0, 0, 10, 10], [20, 5, 40, 30], [30, 10, 10, 10], [0, 0, 10, 10]], dtype=float)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("left_of", [[0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]),
        ("right_of", [[0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]]),
        ("above", [[0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]),
        ("below", [[0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]]),
        ("smaller", [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]),
        ("bigger", [[0, 0, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]),
        ("inside", [[1, 0, 0, 1], [0, 1, 100 / 1200, 0], [0, 1, 1, 0], [1, 0, 0, 1]]),
    ],
)
def test_matrices(predicate: str, expected: list[list[float]]) -> None:
    found = BoxRelations(BOXES).matrix(predicate)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_between_is_the_share_inside_the_joint_box() -> None:
    boxes = np.array([[10, 0, 10, 10], [0, 0, 5, 10], [15, 0, 5, 10]], dtype=float)
    found = BoxRelations(boxes).between
    # The joint box of the second and third spans 0..20, all of the first; that of the first and the second
    # spans 0..20 too and covers the third.
    assert found[0, 1, 2] == found[0, 2, 1] == 1
    assert found[2, 0, 1] == 1
    assert found[1, 0, 2] == 0
    same = [found[i, j, k] for i in range(3) for j in range(3) for k in range(3) if len({i, j, k}) < 3]
    assert set(same) == {0.0}
    half = BoxRelations(np.array([[0, 0, 10, 10], [5, 0, 5, 5], [5, 5, 5, 5]], dtype=float)).between
    assert half[0, 1, 2] == 0.5
