"""Figures: one bar a number, hostile names stay text, nothing foreign in the file, the same bytes again."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from operators.methods.catalog import FIRST_BOX
from operators.methods.method import Method
from operators.methods.products import Predictions
from operators.methods.variants import variant
from operators.pictures.figures import MAX_BARS, accuracy_figure
from operators.pictures.heatmaps import FRAME, MAX_PANELS, heatmap_figure
from operators.tables.ablation_grid import Axis, Panel, Pivot, Score
from operators.tables.accuracy import Result, group_seeds
from operators.tables.intervals import Interval
from operators.tables.metrics import ImageTally, SplitCount

HOSTILE = ["<script>alert(1)</script>", "$x^{$", r"\frac{", "a\nb", "x" * 200, "‏abc", "日本"]
SVG = "{http://www.w3.org/2000/svg}"


def result(name: str, correct: list[int], proposals: str = "gold") -> Result:
    method = Method(name=name, variants=(variant("P"),)) if name != "first-box" else FIRST_BOX
    splits = (("refcoco", "val", "0"),)
    product = Predictions(method=method, encoders=(), proposals=proposals, splits=splits)
    tally = ImageTally(tuple(map(str, range(len(correct)))), np.full(len(correct), 2), np.array(correct))
    count = SplitCount(2 * len(correct), sum(correct), 0, tally)
    return group_seeds([(product, {("refcoco", "val"): count})])[0]


RESULTS = [result("P", [2, 1, 0, 2]), result("P", [1, 1, 0, 0], "detections"), result("C1", [0, 0, 0, 0])]


def test_the_same_numbers_give_the_same_bytes_and_others_do_not() -> None:
    drawn = accuracy_figure(RESULTS, "refcoco", ["val"])
    assert accuracy_figure(RESULTS, "refcoco", ["val"]) == drawn
    assert accuracy_figure(RESULTS[:2], "refcoco", ["val"]) != drawn


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_be_drawn_and_stays_in_the_picture(name: str) -> None:
    root = ElementTree.fromstring(accuracy_figure([result(name, [1, 2])], "refcoco", ["val"]))
    for element in root.iter():
        assert element.tag in {
            SVG + tag for tag in ("svg", "g", "defs", "path", "use", "style", "clipPath", "rect")
        }
        assert not [key for key in element.attrib if key.startswith("on")]
        links = [value for key, value in element.attrib.items() if key.endswith("href")]
        assert all(link.startswith("#") for link in links)


def test_has_no_document_type_date_or_foreign_address() -> None:
    text = accuracy_figure(RESULTS, "refcoco", ["val", "testA"]).decode()
    assert "DOCTYPE" not in text
    assert "metadata" not in text
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert {part.split('"')[0] for part in text.split('"')[1:] if part.startswith("http")} <= namespaces
    assert "url(http" not in text


def test_long_tables_are_cut_and_grow_no_further() -> None:
    many = [RESULTS[0]] * (MAX_BARS + 5)
    assert accuracy_figure(many, "refcoco", ["val"]) == accuracy_figure(many[:MAX_BARS], "refcoco", ["val"])


def heatmap(name: str, percent: list[list[float | None]], panels: int = 2) -> bytes:
    rows, columns = Axis(name, ("1", "2")), Axis(name, ("a", name, "c"))
    scores = [[None if v is None else Score(v, Interval(v - 4, v + 4)) for v in row] for row in percent]
    return heatmap_figure(Pivot(name, rows, columns, (Panel(name, name, scores),) * panels))


PERCENT = [[10.0, 20.0, None], [40.0, 40.0, 50.0]]


def test_heat_maps_are_the_same_bytes_for_the_same_numbers_only() -> None:
    drawn = heatmap("sigma_px", PERCENT)
    assert heatmap("sigma_px", PERCENT) == drawn
    assert heatmap("sigma_px", [PERCENT[0], [40.0, 41.0, 50.0]]) != drawn
    assert heatmap("sigma_px", PERCENT, panels=3) != drawn


def test_heat_maps_frame_only_what_is_clearly_best() -> None:
    framed = [
        drawn.count(FRAME["edgecolor"].encode())
        for drawn in map(heatmap, "xx", ([[1.0, 20.0]], [[19.0, 20.0]]))
    ]
    assert framed == [2, 0]


@pytest.mark.parametrize("percent", [[[None] * 3] * 2, [[0.0] * 3] * 2, [[100.0] * 3] * 2])
def test_heat_maps_need_no_spread_and_no_number(percent: list[list[float | None]]) -> None:
    assert ElementTree.fromstring(heatmap("sigma_px", percent)).tag == SVG + "svg"


@pytest.mark.parametrize("name", HOSTILE)
def test_heat_maps_hold_no_picture_script_or_address(name: str) -> None:
    root = ElementTree.fromstring(heatmap(name, PERCENT, panels=1))
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "g", "defs", "path", "use", "style", "clipPath", "rect"}
    links = [v for element in root.iter() for k, v in element.attrib.items() if k.endswith("href")]
    assert all(link.startswith("#") for link in links)


def test_heat_maps_of_many_panels_grow_no_further() -> None:
    many = heatmap("x", [[1.0] * 3] * 2, panels=MAX_PANELS + 3)
    assert many == heatmap("x", [[1.0] * 3] * 2, panels=MAX_PANELS)
