"""Boxes to tokens and bumps: the golden values of falip spec sections 2 and 3, and the forms of section 4."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.foveal import FeatureMask, FovealAttention, Replacement, Unleash
from operators.foveal.features import attention_rows
from operators.foveal.tokens import TokenGrid, bump, bump_rows, mask_matrices, token_spans

BASE, LARGE = TokenGrid((224, 224), (16, 16)), TokenGrid((224, 224), (14, 14))


@pytest.mark.parametrize(
    ("image_wh", "box_xyxy", "base", "large"),
    [
        ((640, 480), (100, 50, 300, 200), (2, 1, 6, 5), (2, 1, 7, 6)),
        ((640, 480), (0, 0, 640, 480), (0, 0, 13, 13), (0, 0, 15, 15)),
        ((224, 224), (16, 16, 32, 32), (0, 0, 1, 1), (1, 1, 2, 2)),
        ((224, 224), (0, 0, 16, 16), (0, 0, 0, 0), (0, 0, 1, 1)),
        ((448, 448), (32, 32, 33, 33), (0, 0, 1, 1), (1, 1, 1, 1)),
        ((640, 480), (639.5, 479.5, 640, 480), (13, 13, 13, 13), (15, 15, 15, 15)),
        ((640, 480), (-50, 460, 20, 999), (0, 13, 0, 13), (0, 15, 0, 15)),
    ],
)
def test_token_spans(image_wh, box_xyxy, base, large) -> None:
    boxes = np.array([box_xyxy], dtype=np.float64)
    assert tuple(token_spans(boxes, image_wh, BASE)[0]) == base
    assert tuple(token_spans(boxes, image_wh, LARGE)[0]) == large


def test_a_grid_that_is_neither_square_nor_exact() -> None:
    grid = TokenGrid((50, 100), (16, 32))  # 3 rows and 3 columns; 2 px and 4 px are left over
    assert grid.shape == (3, 3)
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [9.9, 9.9, 10.0, 10.0], [4.0, 1.0, 5.0, 4.0]])
    spans = token_spans(boxes, (10, 10), grid)
    assert spans.tolist() == [[0, 0, 2, 2], [2, 2, 2, 2], [1, 0, 1, 1]]


def test_bump_values() -> None:
    assert bump(1, 1, 0.2, 100.0).item() == np.float32(0.2)
    for shape in ((1, 2), (2, 1), (2, 2)):
        assert (bump(*shape, 0.2, 100.0) == np.float32(0.2)).all()
    five = bump(5, 5, 0.2, 100.0)
    assert np.abs(five[0] - [0.0005, 0.0753, 0.1002, 0.0753, 0.0005]).max() < 5e-5
    assert five[2, 2] == five.max() == np.float32(0.2)
    for side, corner in ((3, 0.00198), (14, 0.00005)):
        assert bump(side, side, 0.2, 100.0)[0, 0] == pytest.approx(corner, abs=5e-6)
    assert bump(14, 14, 0.2, 1.0)[0, 0] < 1e-6
    assert bump(3, 3, 0.2, 100.0).dtype == np.float32


def test_forms() -> None:
    grid = TokenGrid((64, 64), (16, 16))
    rows = torch.from_numpy(bump_rows(np.array([[0, 0, 2, 1.0]]), (4, 4), grid, 0.2, 1.0))
    assert (rows.shape, rows[0].nonzero().flatten().tolist()) == ((1, 17), [1, 2])
    a, b, c = (mask_matrices(rows, form)[0] for form in "abc")
    assert torch.equal(a[0], rows[0]) and not a[1:].any()
    assert all(torch.equal(row, rows[0]) for row in b)
    assert torch.equal(c.diagonal(), rows[0]) and torch.equal(c, torch.diag(c.diagonal()))


def test_rows_of_every_setting() -> None:
    boxes_xywh, size = np.array([[100.0, 50, 200, 150], [-10, -10, 30, 30]]), (640, 480)
    foveal = attention_rows(FovealAttention(alpha=0.3), boxes_xywh, size, BASE)
    assert foveal.shape == (2, 197)
    assert np.array_equal(foveal[0, 17:22], bump(5, 5, 0.3, 100.0)[0])
    inside = attention_rows(FeatureMask(), boxes_xywh, size, BASE)
    assert inside[:, 0].tolist() == [1, 1] and np.array_equal(inside[:, 1:], foveal[:, 1:] > 0)
    weights = attention_rows(FeatureMask(weights="bump"), boxes_xywh, size, BASE)
    assert np.abs(weights[:, 1:] - foveal[:, 1:] / 0.3).max() < 1e-6 and weights.max() == 1
    assert not attention_rows(Unleash(), boxes_xywh, size, BASE).any()
    assert not attention_rows(Replacement(taken_from_raw="v"), boxes_xywh, size, BASE).any()
    exchanged = Replacement(taken_from_raw="qk", foveal=FovealAttention(alpha=0.3))
    assert np.array_equal(attention_rows(exchanged, boxes_xywh, size, BASE), foveal)
    grown = attention_rows(FovealAttention(enlarge_px=60.0), boxes_xywh, size, BASE)
    assert (grown > 0).sum() > (foveal > 0).sum()
