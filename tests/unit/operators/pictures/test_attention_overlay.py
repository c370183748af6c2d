"""Overlays of attention: where it is bright, what colours mean, the outline, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from operators.pictures.attention_overlay import HEAT, OPACITY, attention_overlay, heat_colors

PICTURE = np.full((91, 133, 3), 100, dtype=np.uint8)
NO_BOX = (0, 0, 0, 0)


def attention(row: int, column: int) -> np.ndarray:
    grid = np.full((7, 7), 0.01)
    grid[row, column] = 0.4
    return grid


def over_gray(level: float, color: tuple[int, int, int]) -> np.ndarray:
    opacity = OPACITY[0] + level * (OPACITY[1] - OPACITY[0])
    return (1 - opacity) * 100 + opacity * np.array(color)


@pytest.mark.parametrize(("row", "column"), [(1, 1), (2, 5), (5, 3)])
def test_the_peak_is_brightest_in_the_middle_of_its_cell(row: int, column: int) -> None:
    shown = attention_overlay(PICTURE, attention(row, column), 0.4, NO_BOX)
    assert shown.shape == PICTURE.shape and shown.dtype == np.uint8
    green = shown[..., 1].astype(int)  # the only channel that grows all the way from dark to bright
    green[:3, :3] = 0  # the outline
    y, x = np.argwhere(green == green.max()).mean(axis=0)
    assert abs(y - (row + 0.5) * 13 + 0.5) <= 1 and abs(x - (column + 0.5) * 19 + 0.5) <= 1
    np.testing.assert_allclose(shown[round(y), round(x)], over_gray(1, HEAT[-1]), atol=8)
    far = shown[(row + 4) % 7 * 13 + 6, (column + 4) % 7 * 19 + 9]
    np.testing.assert_allclose(far, over_gray(0, HEAT[0]), atol=6)


def test_pictures_share_a_scale() -> None:
    flat = np.full((7, 7), 0.1)
    dim, bright = (attention_overlay(PICTURE, flat, highest, NO_BOX)[40, 60] for highest in (0.4, 0.1))
    np.testing.assert_allclose(dim, over_gray(0.25, HEAT[1]), atol=1)
    np.testing.assert_allclose(bright, over_gray(1, HEAT[-1]), atol=1)


def test_colours_get_brighter_and_are_clamped() -> None:
    colors = heat_colors(np.linspace(-1, 2, 31))
    luma = colors @ (0.299, 0.587, 0.114)
    assert (np.diff(luma[10:21]) > 0).all()
    assert (colors[:11] == HEAT[0]).all() and (colors[20:] == HEAT[-1]).all()


def test_the_box_is_outlined_where_it_is() -> None:
    plain = attention_overlay(PICTURE, np.zeros((7, 7)), 1.0, NO_BOX)
    boxed = attention_overlay(PICTURE, np.zeros((7, 7)), 1.0, (20, 10, 90, 60))
    y, x = np.nonzero((boxed != plain).any(axis=-1) & (np.add.outer(np.arange(91), np.arange(133)) > 20))
    assert (x.min(), y.min(), x.max(), y.max()) == (20, 10, 90, 60)
    assert (boxed[20:50, 30:80] == plain[20:50, 30:80]).all()
    assert (boxed[11, 30:80] == 255).all()


def test_boxes_over_the_edge_and_no_attention_at_all() -> None:
    shown = attention_overlay(PICTURE, np.zeros((1, 1)), 0.0, (-5, -5, 400, 400))
    assert shown.shape == PICTURE.shape and (shown[1, 1:-1] == 255).all() and (shown[-2, 1:-1] == 255).all()


def test_the_input_is_not_touched() -> None:
    picture, grid = PICTURE.copy(), attention(3, 3)
    attention_overlay(picture, grid, 0.4, (10, 10, 50, 50))
    assert (picture == PICTURE).all() and (grid == attention(3, 3)).all()
