"""Ablations: what a grid stands for, what is refused, how accuracies are laid out, FALIP's own tables."""

from __future__ import annotations

import csv
from collections import Counter
from statistics import mean

import pytest

from operators.methods.catalog import find_method
from operators.methods.models import Encoder, Weights
from operators.methods.products import Predictions
from operators.tables.ablation import line_names, mean_accuracy, pivot_latex, pivot_markdown, settings_table
from operators.tables.ablation_grid import Axis, Score, expand, pivots, read_axis
from operators.tables.accuracy import Result, group_seeds
from operators.tables.falip import falip_methods, falip_rows, falip_tables
from operators.tables.intervals import Interval
from operators.tables.metrics import SplitCount

SPLITS = [("refcoco", "val"), ("refcoco", "testA")]
B16 = Encoder(
    name="ViT-B-16",
    architecture="ViT-B-16",
    weights=Weights(source="a", sha256="a" * 64, label="random"),
    quick_gelu=True,
)


def scored(method: str, correct: tuple[int, int], encoder: Encoder = B16) -> Result:
    """Return a line with ten expressions a split."""
    product = Predictions(method=find_method(method), encoders=(encoder,), proposals="gold", splits=())
    counts = {split: SplitCount(10, number) for split, number in zip(SPLITS, correct, strict=True)}
    return group_seeds([(product, counts)])[0]


def around(percent: float, half: float) -> Score:
    return Score(float(percent), Interval(percent - half, percent + half))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("sigma_px=25, 50", ("25", "50")),
        ("mask_color=0,128,255;red", ("0,128,255", "red")),
        ("mask_color=0,128,255;", ("0,128,255",)),
        ("layers=9-12", ("9-12",)),
    ],
)
def test_values_are_parted_by_commas_or_semicolons(text: str, values: tuple[str, ...]) -> None:
    assert read_axis(text) == Axis(text.partition("=")[0], values)


@pytest.mark.parametrize("text", ["sigma_px", "sigma_px=", "=3", "sigma_px=1,,2", "", "sigma_px=1,1"])
def test_an_axis_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not written like|twice"):
        read_axis(text)


def methods(drawing: str, *axes: str, posts: tuple[str, ...] = ("none",)) -> list[str]:
    return [s.method for s in expand([drawing], [read_axis(a) for a in axes], posts).settings]


def test_every_point_is_a_method_in_canonical_notation() -> None:
    assert methods("D4", "sigma_px=50,100", "contour_scale=1.0,1.2", posts=("none", "S")) == [
        *("D4(sigma_px=50)", "D4(sigma_px=50),S", "D4(sigma_px=50,contour_scale=1.2)"),
        *("D4(sigma_px=50,contour_scale=1.2),S", "D4", "D4,S", "D4(contour_scale=1.2)"),
        "D4(contour_scale=1.2),S",
    ]
    assert methods("I+FA", "alpha=0.2,0.3", "layers=9-12") == [
        "I+FA(layers=9-12)",
        "I+FA(alpha=0.3,layers=9-12)",
    ]
    assert methods("P|D4", "canvas_px=224,384") == ["P|D4(canvas_px=224)", "P|D4"]


def test_canonical_notation_means_the_same_drawings() -> None:
    grid = expand(["D4+D1", "C2+FA"], [read_axis("contour_scale=1,1.5"), read_axis("alpha=0.3")], ["none"])
    for setting in grid.settings:
        arguments = ",".join(f"{name}={value}" for name, value in setting.values)
        plain = "+".join(f"{layer}({arguments})" for layer in setting.drawing.split("+"))
        assert find_method(setting.method).variants == find_method(plain).variants


def test_a_parameter_is_varied_in_the_layers_that_have_it_and_leave_it_open() -> None:
    assert methods("C2+FA", "FA.alpha=0.4") == ["C2+FA(alpha=0.4)"]
    assert methods("C2+FA", "C2.alpha=0.4") == ["C2(alpha=0.4)+FA"]
    assert methods("D4(contour_scale=2)+D1", "contour_scale=3") == ["D4(contour_scale=2)+D1(contour_scale=3)"]


def test_what_does_not_apply_is_skipped_and_said() -> None:
    grid = expand(["D4", "C1", "I"], [read_axis("sigma_px=50,25"), read_axis("thickness_px=3")], ["none"])
    assert [s.method for s in grid.settings] == [
        *("D4(sigma_px=50)", "D4(sigma_px=25)", "C1(thickness_px=3)", "I"),
    ]
    said = {("D4", "thickness_px"), ("C1", "sigma_px"), ("I", "sigma_px"), ("I", "thickness_px")}
    assert set(grid.skipped) == said


@pytest.mark.parametrize(
    ("drawing", "axes", "posts", "message"),
    [
        ("D4", ["sigma=3"], ["none"], "no drawing of D4 has it, or leaves it open; nearest: sigma_px"),
        ("D4(sigma_px=3)", ["sigma_px=4"], ["none"], "no drawing of"),
        ("D4", ["sigma_px=x"], ["none"], "'sigma_px' takes a number"),
        ("D4", ["sigma_px=3", "sigma_px=4"], ["none"], "given twice"),
        ("D9", ["sigma_px=3"], ["none"], "unknown visual prompt 'D9'; nearest: D4"),
        ("D4,S", [], ["none"], "column 4: post-processing is an option of its own"),
        ("D4|", [], ["none"], "expected a drawing"),
        ("D4", [], ["Q"], "unknown post-processing 'Q'; known: none, S"),
        ("I+FA", ["alpha=-1"], ["none"], "greater than 0"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(drawing, axes, posts, message) -> None:
    with pytest.raises(ValueError) as problem:
        expand([drawing], [read_axis(axis) for axis in axes], posts)
    assert message in str(problem.value)


def test_every_pair_of_parameters_has_a_panel_for_every_value_of_the_rest() -> None:
    axes = ["sigma_px=1,2,3", "contour_scale=1,2", "canvas_px=64,96"]
    grid = expand(["D4"], [read_axis(axis) for axis in axes], ["none", "S"])
    scores = {
        (s.method, "x"): Score(float(i), Interval(i - 0.4, i + 0.4)) for i, s in enumerate(grid.settings)
    }
    made = pivots(grid.settings, scores, ["x"])
    names = [(p.rows.name, p.columns.name) for p in made]
    assert names == [("sigma_px", "contour_scale"), ("sigma_px", "canvas_px"), ("contour_scale", "canvas_px")]
    assert [len(p.panels) for p in made] == [2 * 2, 2 * 2, 2 * 3]
    for pivot in made:
        shown = [score for panel in pivot.panels for row in panel.scores for score in row]
        assert sorted(shown) == sorted(scores.values())
    last = made[0].panels[-1]
    assert (last.line, last.fixed) == ("x · S", "canvas_px=96")
    assert last.scores[2][1] == scores["D4(sigma_px=3,contour_scale=2,canvas_px=96),S", "x"]
    assert last.best == (2, 1)


def test_one_parameter_makes_a_column_and_none_makes_nothing() -> None:
    grid = expand(["C1", "I"], [read_axis("thickness_px=1,3")], ["none"])
    score = Score(40.0, Interval(38.0, 41.5))
    (pivot,) = pivots(grid.settings, {("C1(thickness_px=1)", "x"): score}, ["x"])
    assert pivot.panels[0].scores == [[score], [None]]
    text = pivot_markdown([pivot])
    assert "| thickness_px | accuracy          |" in text
    assert "| 1            | 40.0 [38.0, 41.5] |" in text
    assert "| 3            | –                 |" in text
    assert "% C1: thickness\\_px; x\n\\begin{tabular}{lr}" in pivot_latex([pivot])


@pytest.mark.parametrize(
    ("other", "best"), [(around(40, 2), True), (around(43, 2), False), (Score(38.0), False)]
)
def test_a_score_is_bold_where_its_interval_lies_above_the_others(other: Score, best: bool) -> None:
    grid = expand(["C1"], [read_axis("thickness_px=1,3")], ["none"])
    scores = {("C1(thickness_px=1)", "x"): around(45, 2), ("C1(thickness_px=3)", "x"): other}
    (pivot,) = pivots(grid.settings, scores, ["x"])
    assert ("**45.0** [43.0, 47.0]" in pivot_markdown([pivot])) == best
    assert (r"\textbf{45.0} [43.0, 47.0]" in pivot_latex([pivot])) == best


def test_the_spreadsheet_has_every_setting_and_split() -> None:
    grid = expand(["D4", "C1"], [read_axis("sigma_px=50,100")], ["none"])
    results = [scored(setting.method, (3 + i, 5)) for i, setting in enumerate(grid.settings)]
    rows = list(csv.DictReader(settings_table(grid.settings, results, SPLITS).splitlines()))
    assert len(rows) == 3 * 2
    assert [row["sigma_px"] for row in rows] == ["50", "50", "100", "100", "", ""]
    assert [float(row["accuracy_percent"]) for row in rows] == [30, 50, 40, 50, 50, 50]
    assert mean_accuracy(results[0], SPLITS) == 40


def test_ensembles_of_one_name_are_told_apart() -> None:
    other = B16.model_copy(update={"weights": B16.weights.model_copy(update={"sha256": "b" * 64})})
    one, both = [scored("I", (1, 1))], [scored("I", (1, 1)), scored("I", (1, 1), other)]
    assert list(line_names(one).values()) == ["ViT-B-16 (random) · gold"]
    assert list(line_names(both).values()) == [f"ViT-B-16 (random) {c * 8} · gold" for c in "ab"]


def test_falip_rows_are_complete_and_their_means_are_those_printed() -> None:
    rows = falip_rows()
    labels = Counter(row.table for row in rows)
    assert labels == {4: 6, 5: 6, 6: 4, 10: 7, 11: 7, 12: 6}
    assert all(len(row.published_percent) == 8 for row in rows)
    for row in rows:
        off = abs(mean(row.published_percent.values()) - row.published_mean)
        assert off < 0.1 or (row.label == "RedCircle + blur" and off == pytest.approx(0.1875)), row
    defaults = [row for row in rows if row.method == "I+FA"]
    assert {row.table for row in defaults} == {5, 6, 10, 11, 12}
    assert len({row.published_mean for row in defaults}) == 1


def test_falip_methods_are_canonical_and_distinct() -> None:
    found = [find_method(text) for text in falip_methods()]
    for text, method in zip(falip_methods(), found, strict=True):
        assert text in (method.notation, method.name)
    assert len({method.variants for method in found}) == len(found)


def test_falip_numbers_stand_beside_ours_with_what_differs() -> None:
    results = [scored("I+FA", (4, 6)), scored("falip_circle", (3, 3))]
    made = falip_tables(results, SPLITS)
    assert "| FALIP" in made["md"]
    assert "weights random" in made["md"]
    assert "split 10 of 10834" in made["md"]
    rows = list(csv.DictReader(made["csv"].splitlines()))
    assert len(rows) == len(falip_rows()) * len(SPLITS)
    (row,) = [r for r in rows if (r["table"], r["row"], r["split"]) == ("10", "alpha 0.2", "testA")]
    assert (float(row["accuracy_percent"]), float(row["published_percent"])) == (60, 44.2)
    assert {r["accuracy_percent"] for r in rows if r["row"] == "alpha 0.3"} == {""}
