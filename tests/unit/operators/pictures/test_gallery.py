"""Sheets of pictures: sizes, places, and the taxonomy."""

from __future__ import annotations

import numpy as np
import pytest

from operators.pictures.annotate import COLORS
from operators.pictures.gallery import CARD, NAMES, ROWS, Cell, contact_sheet, drawing_sheet, taxonomy_figure
from operators.prompts import find_prompt

COLOR = (200, 10, 60)


def picture(height: int, width: int, value: int = 77) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def cell(height: int = 90, width: int = 180, value: int = 77) -> Cell:
    return Cell(picture(height, width, value), "1", "label", COLOR)


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (5, 5, 1), (6, 5, 2), (11, 5, 3)]
)
def test_the_sheet_has_room_for_all_and_no_more(count, columns, rows) -> None:
    """Cells of 180 x 90, gaps of 10, labels of 22 px."""
    sheet = contact_sheet([cell()] * count, cell_wh_px=(180, 180))
    assert sheet.shape == (10 + rows * (90 + 22 + 10), 10 + columns * 190, 3) and sheet.dtype == np.uint8


def test_pictures_are_fitted_not_squashed_and_centred_on_a_card() -> None:
    sheet = contact_sheet([cell(90, 180, 10), cell(60, 20, 20)], cell_wh_px=(180, 90))
    assert (sheet[10:100, 10:190] == 10).all()
    second = sheet[10:100, 200:380]  # 30 x 90, in the middle
    assert (
        (second[:, 76:104] == 20).all() and (second[:, :74] == CARD).all() and (second[:, 106:] == CARD).all()
    )


def test_a_title_makes_the_sheet_higher_and_too_long_labels_do_not_widen_it() -> None:
    plain = contact_sheet([cell()], cell_wh_px=(180, 180))
    titled = contact_sheet([cell()._replace(label="long " * 99)], title="title " * 99, cell_wh_px=(180, 180))
    assert titled.shape == (plain.shape[0] + 30, *plain.shape[1:])
    assert (titled[:, -8:] == 255).all()


def test_the_badge_has_its_colour() -> None:
    sheet = contact_sheet([cell()], cell_wh_px=(180, 180))
    assert (sheet == COLOR).all(axis=-1).sum() > 100


def test_inputs_stay_as_they_are_and_no_cells_make_an_empty_sheet() -> None:
    one = cell()
    contact_sheet([one], title="t")
    assert (one.picture_HWC == 77).all()
    assert (contact_sheet([]) == 255).all()


def test_a_drawing_sheet_names_the_nearest_text_of_every_region(monkeypatch) -> None:
    seen = {}
    monkeypatch.setattr(
        "operators.pictures.gallery.contact_sheet", lambda cells, title: seen.update(cells=cells, title=title)
    )
    similarity = np.array([[0.25, 0.1], [0.1, 0.3125]])
    drawing_sheet("D4", [picture(4, 4), picture(5, 5)], similarity, ["dog", "bowl"])
    assert [(c.badge, c.label, c.color) for c in seen["cells"]] == [
        ("0", "0.250  dog", COLORS[0]),
        ("1", "0.312  bowl", COLORS[1]),
    ]
    assert seen["title"].startswith("D4  Blur Reverse Mask")


def test_the_taxonomy_has_four_rows_of_four_in_their_places() -> None:
    assert [[code[0] for code in row] for row in ROWS[1:]] == [["B"] * 4, ["C"] * 4, ["D"] * 4]
    assert [code[1:] for row in ROWS[1:] for code in row] == ["1", "2", "3", "4"] * 3
    pictures = {code: picture(200, 400, value) for value, code in enumerate(NAMES)}
    sheet = taxonomy_figure(pictures)
    gap_px, panel = 340 // 18, (170, 340)
    for value, code in enumerate(NAMES):
        row, column = divmod(value, 4)
        top, left = gap_px + row * (panel[0] + 340 // 8 + gap_px), gap_px + column * (panel[1] + gap_px)
        assert (sheet[top : top + panel[0], left : left + panel[1]] == value).all(), code


def test_every_code_of_the_taxonomy_is_a_prompt_and_needs_a_picture() -> None:
    assert [find_prompt(code).code for code in NAMES] == list(NAMES)
    with pytest.raises(KeyError, match="A1"):
        taxonomy_figure({"I": picture(300, 300)})
