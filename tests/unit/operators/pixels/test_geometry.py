"""Box status and intersection over union."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.pixels.geometry import INVALID, OK, PARTLY_OUTSIDE, box_status, iou_xywh, xywh_to_xyxy

WIDTH, HEIGHT = 100, 80
COORDINATE = st.floats(-1e4, 1e4, allow_nan=False)
BOX = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE)
QUARTERS = st.integers(-4000, 4000).map(lambda n: n / 4)  # sums are exact


@pytest.mark.parametrize(
    ("box_xywh", "status"),
    [
        ((10, 10, 20, 20), OK),
        ((0, 0, WIDTH, HEIGHT), OK),
        ((99, 79, 1, 1), OK),
        ((0.5, 0.5, 1e-9, 1e-9), OK),
        ((-1, 10, 20, 20), PARTLY_OUTSIDE),
        ((90, 10, 20, 20), PARTLY_OUTSIDE),
        ((10, 70, 5, 10.5), PARTLY_OUTSIDE),
        ((-5, -5, 200, 200), PARTLY_OUTSIDE),
        # Touching an edge from outside shares no area with the image.
        ((WIDTH, 10, 5, 5), INVALID),
        ((10, HEIGHT, 5, 5), INVALID),
        ((-5, 10, 5, 5), INVALID),
        ((10, -5, 5, 5), INVALID),
        ((500, 500, 5, 5), INVALID),
        ((10, 10, 0, 5), INVALID),
        ((10, 10, 5, 0), INVALID),
        ((20, 20, -5, -5), INVALID),
        ((20, 20, -5, 5), INVALID),
        ((math.nan, 10, 5, 5), INVALID),
        ((10, 10, 5, math.nan), INVALID),
        ((10, 10, math.inf, 5), INVALID),
        ((-math.inf, 10, 5, 5), INVALID),
    ],
)
def test_box_status(box_xywh: tuple[float, float, float, float], status: str) -> None:
    assert box_status(box_xywh, WIDTH, HEIGHT) == status


def test_no_box_is_valid_in_an_image_without_pixels() -> None:
    assert box_status((0, 0, 5, 5), 0, 0) == INVALID


def test_corners() -> None:
    np.testing.assert_array_equal(
        xywh_to_xyxy(np.array([[1, 2, 3, 4], [-1, 0, 0.5, 1]])), [[1, 2, 4, 6], [-1, 0, -0.5, 1]]
    )
    assert xywh_to_xyxy(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 10, 10), 50 / 150),
        ((0, 0, 10, 10), (0, 0, 10, 5), 0.5),
        ((0, 0, 4, 4), (1, 1, 2, 2), 4 / 16),
        ((0, 0, 10, 10), (10, 0, 10, 10), 0.0),  # a shared edge has no area
        ((0, 0, 10, 10), (20, 20, 5, 5), 0.0),
        ((-10, -10, 20, 20), (0, 0, 10, 10), 100 / 400),
        # Areas are continuous: no pixel is added to a side.
        ((0, 0, 1, 1), (0, 0, 2, 1), 0.5),
        ((0, 0, 0, 5), (0, 0, 0, 5), 0.0),
        ((0, 0, 10, 10), (5, 5, -5, -5), 0.0),
        ((math.nan, 0, 1, 1), (0, 0, 1, 1), 0.0),
    ],
)
def test_iou_by_hand(first: tuple, second: tuple, expected: float) -> None:
    assert iou_xywh(np.array([first]), np.array([second])).tolist() == [[expected]]


def test_iou_of_lists_is_a_matrix() -> None:
    first = np.array([[0, 0, 10, 10], [100, 100, 2, 2]])
    second = np.array([[0, 0, 10, 5], [0, 0, 10, 10], [101, 100, 2, 2]])
    np.testing.assert_array_equal(iou_xywh(first, second), [[0.5, 1, 0], [0, 0, 2 / 6]])
    assert iou_xywh(first, np.zeros((0, 4))).shape == (2, 0)


@given(BOX, BOX)
def test_iou_is_symmetric_and_within_zero_and_one(first: tuple, second: tuple) -> None:
    there = iou_xywh(np.array([first]), np.array([second]))[0, 0]
    assert there == iou_xywh(np.array([second]), np.array([first]))[0, 0]
    assert 0 <= there <= 1


@given(st.tuples(COORDINATE, COORDINATE, st.floats(0.01, 1e4), st.floats(0.01, 1e4)))
def test_iou_of_a_box_with_itself_is_one(box: tuple) -> None:
    assert iou_xywh(np.array([box]), np.array([box]))[0, 0] == 1


@given(st.tuples(QUARTERS, QUARTERS, QUARTERS, QUARTERS), st.integers(1, 500), st.integers(1, 500))
def test_status_agrees_with_the_overlap_with_the_image(box: tuple, width: int, height: int) -> None:
    status = box_status(box, width, height)
    x, y, w, h = box
    inside_w = min(x + w, width) - max(x, 0)
    inside_h = min(y + h, height) - max(y, 0)
    touches = w > 0 and h > 0 and inside_w > 0 and inside_h > 0
    assert (status != INVALID) == touches
