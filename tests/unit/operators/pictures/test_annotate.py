"""Marks on an image: sizes, colours, captions that stay readable, and inputs left alone."""

from __future__ import annotations

import numpy as np
import pytest

from operators.pictures.annotate import (
    COLORS,
    MASK_OPACITY,
    SHOWN_PX,
    Mark,
    _free_place,
    annotate,
    candidates_picture,
    caption_font,
    masks_at_size,
    region_color,
    result_picture,
    shortened,
)
from operators.pixels.masks import tight_boxes_xyxy
from operators.score.assignment import Pair

GRAY = 100


def image(height: int = 600, width: int = 1000) -> np.ndarray:
    return np.full((height, width, 3), GRAY, dtype=np.uint8)


def two_masks() -> np.ndarray:
    """Masks in another resolution than the image: left and right half of a 60 x 100 frame, middle rows."""
    masks = np.zeros((2, 60, 100), dtype=bool)
    masks[0, 20:40, 5:45] = masks[1, 20:40, 55:95] = True
    return masks


BOXES = np.array([[50.0, 200, 450, 400], [550, 200, 950, 400]])


@pytest.mark.parametrize(
    ("size", "expected"),
    [((600, 1000), (600, 1000)), ((30, 40), (600, 800)), ((2000, 4000), (800, 1600)), ((1, 32), (25, 800))],
)
def test_pictures_are_brought_to_a_size_at_which_captions_can_be_read(size, expected) -> None:
    shown = annotate(image(*size), [])
    assert shown.shape == (*expected, 3) and shown.dtype == np.uint8 and (shown == GRAY).all()
    assert SHOWN_PX[0] <= max(shown.shape) <= SHOWN_PX[1]


def test_inputs_stay_as_they_are() -> None:
    pixels, masks, boxes = image(), two_masks(), BOXES.copy()
    candidates_picture(pixels, boxes, masks)
    result_picture(pixels, boxes, masks, [Pair(0, 0)], ["text"])
    assert (pixels == GRAY).all() and (masks == two_masks()).all() and (boxes == BOXES).all()


def test_a_mask_is_tinted_in_the_colour_of_its_region_and_nothing_else_is() -> None:
    shown = candidates_picture(image(), BOXES, two_masks())
    for index, center_x in enumerate((250, 750)):
        blend = (1 - MASK_OPACITY) * GRAY + MASK_OPACITY * np.array(region_color(index))
        assert (shown[300, center_x] == np.rint(blend)).all()
    assert (shown[550:] == GRAY).all() and (shown[:150] == GRAY).all() and (shown[:, 480:520] == GRAY).all()


def test_boxes_are_outlined_without_masks_too_and_may_reach_out() -> None:
    shown = candidates_picture(image(), np.array([[-50.0, 200, 450, 900]]), None)
    assert (shown[500, 450] == COLORS[0]).all() and (shown[599, 200] == COLORS[0]).all()
    assert (shown[400, 200] == GRAY).all()


def test_only_assigned_regions_are_in_the_result() -> None:
    shown = result_picture(image(), BOXES, two_masks(), [Pair(1, 0)], ["right"])
    assert (shown[:, :500] == GRAY).all() and (shown[:, 550:] != GRAY).any()


def test_texts_of_one_region_tint_it_once_and_both_have_captions() -> None:
    once = result_picture(image(), BOXES, two_masks(), [Pair(0, 0)], ["first", "second"])
    twice = result_picture(image(), BOXES, two_masks(), [Pair(0, 0), Pair(0, 1)], ["first", "second"])
    assert (once[300, 250] == twice[300, 250]).all()
    below = slice(405, 460)
    assert (once[below] == GRAY).all() and (twice[below, 50:200] != GRAY).any()


@pytest.mark.parametrize("box", [(0, 0, 50, 50), (90, 90, 100, 100), (0, 0, 100, 100), (99, 0, 100, 1)])
def test_captions_stay_inside_and_apart(box) -> None:
    taken: list = []
    for _ in range(5):
        plate = _free_place(box, (40, 10), (100, 100), taken)
        assert plate[0] >= 0 and plate[1] >= 0 and plate[2] <= 100 and plate[3] <= 100
        taken.append(plate)
    apart = [a[3] <= b[1] or b[3] <= a[1] for i, a in enumerate(taken) for b in taken[:i]]
    assert all(apart) or box[1] == 90  # there is no room for five at the lower edge


def test_an_empty_caption_draws_nothing() -> None:
    mark = Mark(np.array([10.0, 10, 20, 20]), np.zeros((6, 10), dtype=bool), "", (1, 2, 3))
    assert (annotate(image(), [mark])[30:] == GRAY).all()


def test_long_and_hostile_captions_become_one_line_that_fits() -> None:
    font = caption_font(20)
    assert shortened(" two\n lines\t", font, 500) == "two lines"
    cut = shortened("word " * 10_000, font, 200)
    assert cut.endswith("…") and 150 < font.getlength(cut) <= 200
    assert shortened("word", font, 1) == ""
    boxes = np.array([[0.0, 0, 5, 5]])
    assert result_picture(image(), boxes, None, [Pair(0, 0)], ["\u0000\u202e犬\n" * 999]).shape == (
        600,
        1000,
        3,
    )


def test_masks_change_their_size_without_growing() -> None:
    masks = two_masks()
    large = masks_at_size(masks, (600, 1000))
    assert large.dtype == np.bool_ and large.shape == (2, 600, 1000)
    exact = np.kron(masks, np.ones((10, 10), dtype=bool))
    assert tight_boxes_xyxy(large).tolist() == tight_boxes_xyxy(exact).tolist()
    assert not (large & ~exact).any() and (exact & ~large).sum() < 0.001 * exact.sum()  # rounded corners
    assert (masks_at_size(large, (60, 100)) == masks).all()
    assert masks_at_size(masks[:0], (5, 6)).shape == (0, 5, 6)
