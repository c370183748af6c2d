"""The reproduction table: which published number stands beside ours, and what is said to differ."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from operators.datasets.registry import published_size
from operators.methods.catalog import FIRST_BOX, find_method
from operators.methods.method import Method
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Predictions
from operators.methods.variants import variant
from operators.tables.accuracy import Result, group_seeds
from operators.tables.metrics import ImageTally, SplitCount
from operators.tables.reproduction import compare, reproduction_cells, reproduction_tables

VAL = ("refcoco", "val")
PARSED = {VAL: ["en_core_web_sm-3.0.0"]}
WHOLE = published_size("refcoco", "val").expressions
FGVP = "P|D1|D3|D4,S"


def weights(label: str = "real", tag: str = "") -> Weights:
    return Weights(source="/w", sha256="0" * 64, label=label, tag=tag)


def encoder(name: str, **of_weights: str) -> Encoder:
    return Encoder(name=name, architecture=name, weights=weights(**of_weights), quick_gelu=True)


BIG = (encoder("ViT-L-14-336", tag="openai"), encoder("RN50x16", tag="openai"))
SAM_H = Segmenter(name="vit_h", architecture="vit_h", weights=weights())


def product(method: Method | str = FGVP, encoders: tuple = BIG, **other: object) -> Predictions:
    method = find_method(method) if isinstance(method, str) else method
    values = {"proposals": "detections", "segmenter": SAM_H, "splits": (("refcoco", "val", "0"),)} | other
    return Predictions(method=method, encoders=encoders, **values)


def counted(accuracy_percent: float, total: int = WHOLE, images: int = 1500) -> dict:
    """Spread expressions and right answers evenly over images."""
    ok_N = np.diff(np.linspace(0, total, images + 1).round().astype(int))
    correct_N = (np.random.default_rng(0).random(images) < accuracy_percent / 100) * ok_N
    tally = ImageTally(tuple(f"{i:05d}" for i in range(images)), ok_N, correct_N)
    return {VAL: SplitCount(total, int(correct_N.sum()), 0, tally)}


def result(*runs: tuple[Predictions, dict]) -> Result:
    (line,) = group_seeds(runs)
    return line


def test_a_reproduced_row_by_hand() -> None:
    line = result((product(), {VAL: SplitCount(WHOLE, 5000, 0)}))
    headers, rows = reproduction_cells([line], {VAL: [], ("refcoco", "testA"): []})
    encoders = "ViT-L-14-336,RN50x16"
    assert headers[:8] == [
        *("Method", "Encoders", "Prompts", "Post-processing", "Proposals", "Split"),
        *("Published by", "Differs in"),
    ]
    assert rows == [
        [
            *(FGVP, encoders, "P|D1|D3|D4", "S", "detections", "refcoco val", "FGVP", "nothing"),
            *("53.9", "46.2", "-7.7", "10834", "–", "–"),
        ]
    ]


@pytest.mark.parametrize(("accuracy", "inside"), [(54, True), (40, False), (70, False)])
def test_says_whether_the_interval_holds_the_published_number(accuracy: float, inside: bool) -> None:
    (comparison,) = compare([result((product(), counted(accuracy)))], {VAL: []})
    low, high = comparison.interval
    assert comparison.inside is inside is (low <= 53.9 <= high)
    assert comparison.difference == pytest.approx(comparison.accuracies[0] - 53.9)
    assert comparison.differs == []


def test_the_accuracy_is_the_mean_over_the_seeds() -> None:
    method = find_method(FGVP)
    runs = [(product(method.with_seed(s)), {VAL: SplitCount(WHOLE, c, 0)}) for s, c in ((0, 5000), (1, 6000))]
    (comparison,) = compare([result(*runs)], {VAL: []})
    assert comparison.difference == pytest.approx(100 * 5500 / WHOLE - 53.9)


TINY_SAM = Segmenter(name="sam-shapes", architecture="{}", weights=weights("tiny"))


@pytest.mark.parametrize(
    ("run", "total", "said"),
    [
        (product(), 312, ["split 312 of 10834"]),
        (product(proposals="gold"), WHOLE, ["proposals gold, not detections"]),
        (
            product(encoders=(encoder("shapes", label="tiny"),), segmenter=TINY_SAM),
            312,
            [
                "encoders shapes, not ViT-L-14-336,RN50x16",
                "weights tiny",
                "SAM sam-shapes",
                "split 312 of 10834",
            ],
        ),
        (product(encoders=(encoder("ViT-L-14-336", tag="laion"), BIG[1])), WHOLE, ["weights laion"]),
        (product(find_method(FGVP).model_copy(update={"reduce": "max"})), WHOLE, ["reduce max"]),
        (product(find_method(FGVP, "exact")), WHOLE, ["settings of the drawings"]),
    ],
)
def test_says_which_settings_differ(run: Predictions, total: int, said: list[str]) -> None:
    line = result((run, {VAL: SplitCount(total, 1, 0)}))
    (comparison,) = compare([line], {VAL: []})
    assert comparison.differs == said
    assert comparison.published.accuracy == 53.9
    assert line.published(*VAL) is None  # the table of accuracies shows no number that differs in anything


def test_the_published_number_with_most_in_common_is_taken() -> None:
    gold = result(
        (product("falip_circle", (encoder("ViT-B-16"),), proposals="gold"), {VAL: SplitCount(9, 3)})
    )
    detected = result((product("falip_circle", (encoder("ViT-B-16"),)), {VAL: SplitCount(9, 3)}))
    found = [compare([line], {VAL: []})[0] for line in (gold, detected)]
    assert [comparison.published.accuracy for comparison in found][1] == 34.9
    assert all("proposals" not in " ".join(comparison.differs) for comparison in found)
    assert found[0].published != found[1].published


B16 = (encoder("ViT-B-16", tag="openai"),)
PAIR = (encoder("ViT-B-32", tag="openai"), encoder("RN50x16", tag="openai"))


@pytest.mark.parametrize(
    ("row", "encoders", "published", "said"),
    [
        ("fgvp-p-d4-r", PAIR, 52.0, []),
        ("P|D4,R", PAIR, 52.0, []),
        ("cpt-adapted", PAIR, 41.3, []),
        ("P|reclip_shade,R", PAIR, 41.3, ["template a photo of {}"]),
        ("reclip", PAIR, 45.8, []),
        ("reclip", B16, 42.1, ["not published: encoders"]),
        ("redcircle-p-c1-c3-c4-rs", BIG, 56.8, []),
        ("fgvp-p-d1-d3-d4-rs", BIG, 59.6, []),
        ("falip", B16, 37.5, []),
        ("falip-s", B16, 44.7, ["not published: how many captions S draws"]),
        ("falip-redcircle-fa", B16, 35.9, []),
        (
            "falip-ensemble-s",
            B16,
            46.7,
            ["not published: what the ensemble draws; how many captions S draws"],
        ),
    ],
)
def test_rows_of_the_tables_find_their_numbers(
    row: str, encoders: tuple, published: float, said: list[str]
) -> None:
    line = result((product(row, encoders), {VAL: SplitCount(WHOLE, 1, 0)}))
    (comparison,) = compare([line], PARSED)
    assert (comparison.published.accuracy, comparison.differs) == (published, said)


def test_the_filter_of_subtraction_is_a_setting_like_any_other() -> None:
    line = result((product("falip_circle,S", B16), {VAL: SplitCount(WHOLE, 1, 0)}))
    (comparison,) = compare([line], {VAL: []})
    assert comparison.published.accuracy == 33.8
    assert comparison.differs[0] == "exclude_same_image False, not True"


def test_methods_without_drawings_go_by_their_name() -> None:
    line = result((product(FIRST_BOX, (), proposals="gold", segmenter=None), {VAL: SplitCount(WHOLE, 2112)}))
    (comparison,) = compare([line], {VAL: []})
    assert (comparison.published.accuracy, comparison.differs) == (19.5, [])


def test_no_table_without_a_counterpart() -> None:
    unknown = Method(name="D4|P", variants=(variant("D4"), variant("P")))
    nothing_scored = result((product(), {VAL: SplitCount(0, 0, 9)}))
    lines = [result((product(unknown), counted(50))), nothing_scored]
    assert compare(lines, {VAL: []}) == []
    assert reproduction_tables(lines, {VAL: []}) == {}


def test_the_three_files_say_the_same_and_escape_names() -> None:
    named = find_method(FGVP).model_copy(update={"name": "=a|b_c"})
    tables = reproduction_tables([result((product(named), counted(54, 312, 60)))], {VAL: []})
    assert list(tables) == ["md", "tex", "csv"]
    (row,) = csv.DictReader(io.StringIO(tables["csv"]))
    assert (row["method"], row["differs_in"]) == ("'=a|b_c", "split 312 of 10834")
    assert row["published_source"].startswith("FGVP")
    low, high = float(row["low_percent"]), float(row["high_percent"])
    assert row["published_inside"] == str(low <= 53.9 <= high)
    shown = f"{low:.1f} to {high:.1f}"
    assert shown in tables["md"] and shown in tables["tex"]
    assert r"=a\|b_c" in tables["md"]
    assert r"=a\textbar{}b\_c & " in tables["tex"]
    assert tables["tex"].startswith(r"\begin{tabular}{lllllllp{60mm}rrrrrr}")


def test_parses_of_another_parser_are_named() -> None:
    line = result((product("fgvp-p-d4-r", (encoder("ViT-B-32", tag="openai"), BIG[1])), counted(52)))
    said = [
        compare([line], {VAL: parsers})[0].differs
        for parsers in (["en_core_web_sm-3.0.0"], ["en_core_web_sm-3.8.0"], [])
    ]
    assert said == [[], ["parses of en_core_web_sm-3.8.0"], ["parses of nobody"]]


def test_other_precision_and_other_cleaning_of_masks_are_named() -> None:
    rough = SAM_H.model_copy(update={"dtype": "bfloat16", "min_area_px": 0})
    half = tuple(e.model_copy(update={"dtype": "bfloat16"}) for e in BIG)
    (comparison,) = compare([result((product(encoders=half, segmenter=rough), counted(54)))], {VAL: []})
    assert comparison.differs == [
        "encoders in bfloat16",
        "SAM in bfloat16",
        "SAM's regions below 0 px are removed",
    ]


def test_a_quoted_number_stands_beside_the_row_of_its_name() -> None:
    for name, published in (("redcircle-c1-c3-c4-s", 51.4), ("redcircle-c1-c3-c4-s-reported", 49.8)):
        (comparison,) = compare([result((product(name), counted(50)))], PARSED)
        assert comparison.published.accuracy == published
    assert comparison.differs == ["not published: proposals and program: quoted from the RedCircle paper"]
