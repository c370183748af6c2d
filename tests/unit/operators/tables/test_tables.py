"""Benchmark tables: what stands in a cell, beside which published number, and that no cell breaks out."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from operators.datasets.registry import published_size
from operators.methods.catalog import FIRST_BOX, find_method
from operators.methods.method import Method, Subtraction
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Predictions
from operators.methods.variants import variant
from operators.tables.accuracy import csv_table, group_seeds, latex_table, markdown_table
from operators.tables.metrics import ImageTally, SplitCount
from operators.tables.published import published_results

VAL, TEST_A = ("refcoco", "val"), ("refcoco", "testA")


def encoder(name: str, label: str = "real") -> Encoder:
    weights = Weights(source=f"/{name}", sha256="0" * 64, label=label)
    return Encoder(name=name, architecture=name, weights=weights, quick_gelu=True)


def product(method: Method | str, encoders: tuple[Encoder, ...] = (), proposals: str = "gold") -> Predictions:
    if isinstance(method, str):
        method = Method(name=method, variants=(variant("P"),))
    splits = (("refcoco", "val", "0"), ("refcoco", "testA", "0"))
    return Predictions(method=method, encoders=encoders, proposals=proposals, splits=splits)


def cells(markdown: str) -> list[dict[str, str]]:
    """Read a Markdown table as a renderer does: a bar ends a cell unless a backslash precedes it."""
    rows = []
    for line in markdown.splitlines():
        parts = line.replace(r"\|", "\0").strip("|").split("|")
        rows.append([part.strip().replace("\0", "|") for part in parts])
    headers, rule, *body = rows
    assert all(set(cell) == {"-"} for cell in rule)
    names = [f"{headers[i - 1]} published" if name == "published" else name for i, name in enumerate(headers)]
    return [dict(zip(names, row, strict=True)) for row in body]


def sheet(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_by_hand() -> None:
    results = group_seeds(
        [
            (product(FIRST_BOX), {VAL: SplitCount(10831, 2112, 3), TEST_A: SplitCount(8, 1, 0)}),
            (product("P", (encoder("tiny", "tiny"), encoder("RN50"))), {VAL: SplitCount(3, 2, 1)}),
        ]
    )
    assert markdown_table(results, [VAL, TEST_A]) == (
        "| Method    | Drawings | Encoders  | Weights   | Proposals | refcoco val | published |"
        " refcoco testA | n     | set aside |\n"
        "|-----------|----------|-----------|-----------|-----------|-------------|-----------|"
        "---------------|-------|-----------|\n"
        "| first-box | –        | –         | none      | gold      | 19.5        | 19.5      |"
        " 12.5          | 10839 | 3         |\n"
        "| P         | P        | tiny,RN50 | tiny+real | gold      | 66.7        | –         |"
        " –             | 3     | 1         |\n"
    )


def test_no_published_column_where_nothing_matches() -> None:
    results = group_seeds([(product("P", (encoder("tiny"),)), {VAL: SplitCount(2, 1, 0)})])
    assert "published" not in markdown_table(results, [VAL])


def test_csv_has_full_precision_and_the_source() -> None:
    results = group_seeds([(product(FIRST_BOX), {VAL: SplitCount(10832, 1, 2)})])
    first, second = sheet(csv_table(results, [VAL, TEST_A]))
    assert float(first["accuracy_percent"]) == 100 / 10832
    assert (first["n"], first["correct"], first["set_aside"]) == ("10832", "1", "2")
    assert (first["published_percent"], first["seed"]) == ("19.5", "")
    assert first["published_source"].startswith("FALIP, Table 6")
    assert (second["n"], second["accuracy_percent"], second["published_percent"]) == ("0", "", "")


def test_seeds_are_one_line_with_mean_and_spread() -> None:
    def seeded(seed: int) -> Predictions:
        method = Method(name="P,S", variants=(variant("P"),), subtraction=Subtraction(seed=seed))
        return product(method, (encoder("tiny"),))

    counted = [
        (seeded(seed), {VAL: SplitCount(10, correct, 0)}) for seed, correct in ((0, 4), (5, 5), (2, 6))
    ]
    results = group_seeds(counted)
    (line,) = cells(markdown_table(results, [VAL]))
    assert (line["refcoco val"], line["n"]) == ("50.0 ±10.0", "10")
    rows = sheet(csv_table(results, [VAL]))
    found = [(row["seed"], row["accuracy_percent"]) for row in rows]
    assert found == [("0", "40.0"), ("5", "50.0"), ("2", "60.0")]
    (single,) = cells(markdown_table(group_seeds(counted[:1]), [VAL]))
    assert single["refcoco val"] == "40.0"


def test_bars_in_names_do_not_end_a_cell() -> None:
    name = "P|C1|a\\|b"
    results = group_seeds([(product(name, (encoder("x|y"),)), {VAL: SplitCount(1, 1, 0)})])
    (line,) = cells(markdown_table(results, [VAL]))
    assert line["Encoders"] == "x|y"
    assert line["refcoco val"] == "100.0"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1"])
def test_no_cell_is_a_formula(name: str) -> None:
    results = group_seeds([(product(name, (encoder(name),)), {VAL: SplitCount(1, 1, 0)})])
    (row,) = sheet(csv_table(results, [VAL]))
    assert row["method"].startswith("'")
    assert row["encoders"].startswith("'")
    assert row["method"][1:] == name.strip()


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\rb", 'a,"b"', "a\u2028b"])
def test_a_name_stays_within_its_cell(name: str) -> None:
    results = group_seeds([(product(name, (encoder("x"),)), {VAL: SplitCount(1, 1, 0)})])
    (row,) = sheet(csv_table(results, [VAL]))
    expected = " ".join(name.split())
    assert (row["method"], row["encoders"]) == (expected, "x")
    (line,) = cells(markdown_table(results, [VAL]))
    assert (line["Method"], line["Encoders"]) == (expected, "x")


BIG = (encoder("ViT-L-14-336"), encoder("RN50x16"))
SAM = Weights(source="/sam", sha256="1" * 64, label="real")
ENSEMBLE = find_method("P|D1|D3|D4,S")


def run(
    method: Method = ENSEMBLE,
    encoders: tuple = BIG,
    proposals: str = "detections",
    architecture: str = "vit_h",
) -> Predictions:
    segmenter = Segmenter(name="sam", architecture=architecture, weights=SAM)
    return product(method, encoders, proposals).model_copy(update={"segmenter": segmenter})


def reweighted(**changes: str) -> tuple[Encoder, ...]:
    weights = BIG[0].weights.model_copy(update=changes)
    return (BIG[0].model_copy(update={"weights": weights}), BIG[1])


@pytest.mark.parametrize(
    ("product", "dataset", "expected"),
    [
        (run(), "refcoco", 53.9),
        (run(), "refcoco+", 59.3),
        (run(), "refcocog", 61.0),
        (run(method=ENSEMBLE.with_seed(9)), "refcoco", 53.9),
        (run(method=ENSEMBLE.model_copy(update={"name": "mine"})), "refcoco", 53.9),
        (run(encoders=reweighted(tag="openai")), "refcoco", 53.9),
        (run(proposals="gold"), "refcoco", None),
        (run(proposals="sam-grid"), "refcoco", None),
        (run(encoders=BIG[:1]), "refcoco", None),
        (run(encoders=BIG[::-1]), "refcoco", None),
        (run(encoders=reweighted(label="random")), "refcoco", None),
        (run(encoders=reweighted(tag="laion2b_s32b_b82k")), "refcoco", None),
        (run(architecture="vit_b"), "refcoco", None),
        (run(method=find_method("P|D1|D3|D4")), "refcoco", None),
        (run(method=find_method("D1|D3|P|D4,S")), "refcoco", None),
        (run(method=find_method("P|D1|D3|D4,S", "exact")), "refcoco", None),
        (run(method=ENSEMBLE.model_copy(update={"reduce": "max"})), "refcoco", None),
        (run(method=ENSEMBLE.model_copy(update={"subtraction": Subtraction(captions=50)})), "refcoco", None),
        (product(FIRST_BOX), "refcocog", 26.3),
        (product(FIRST_BOX, proposals="detections"), "refcocog", None),
    ],
)
def test_a_published_number_stands_only_beside_its_own_settings(
    product: Predictions, dataset: str, expected: float | None
) -> None:
    (result,) = group_seeds([(product, {(dataset, "val"): whole(dataset, "val")})])
    found = result.published(dataset, "val")
    assert (found and found.accuracy) == expected
    assert result.published(dataset, "testC") is None


@pytest.mark.parametrize("ok", [0, 54, 10833, 10835])
def test_no_published_number_beside_a_part_of_a_split_or_another_set_of_that_name(ok: int) -> None:
    (result,) = group_seeds([(product(FIRST_BOX), {VAL: SplitCount(ok, 0, 0)})])
    assert result.published(*VAL) is None


def whole(dataset: str, split: str) -> SplitCount:
    return SplitCount(published_size(dataset, split).expressions - 3, 1, 3)


def test_every_published_number_of_a_method_that_exists_can_be_reached() -> None:
    reached = set()
    for settings, number in published_results().items():
        encoders = tuple(map(encoder, settings.encoders.split(","))) if settings.encoders != "–" else ()
        split = (settings.dataset, settings.split)
        counts = {split: whole(*split)}
        (result,) = group_seeds([(run(find_method(settings.settings), encoders, settings.proposals), counts)])
        assert result.published(settings.dataset, settings.split) == number
        reached.add(settings.settings)
    assert {"first-box", "cpt-adapted", "P|D4,R", "P|D1|D3|D4,RS", "C1|C3|C4,S", "I+FA"} <= reached


HOSTILE = [
    (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
    ("$&%#_{}~^", r"\$\&\%\#\_\{\}\textasciitilde{}\textasciicircum{}"),
    ("P|D4,S", r"P\textbar{}D4,S"),
    ("a\\\\ b & c", r"a\textbackslash{}\textbackslash{} b \& c"),
    ("<script>", r"\textless{}script\textgreater{}"),
    ("a\u202eb\u200fc\x07", "abc"),
    ("a\nb", "a b"),
]


@pytest.mark.parametrize(("name", "expected"), HOSTILE)
def test_no_cell_is_a_latex_command(name: str, expected: str) -> None:
    results = group_seeds([(product(name, (encoder("x"),)), {VAL: SplitCount(1, 1, 0)})])
    lines = latex_table(results, [VAL]).splitlines()
    assert lines[4].startswith(rf"{expected} & P & x & real & gold & 100.0 & 1 & 0 \\")
    assert len(lines) == 7


def test_a_latex_table_by_hand() -> None:
    results = group_seeds([(product(FIRST_BOX), {VAL: SplitCount(10831, 2112, 3)})])
    assert latex_table(results, [VAL]) == (
        "\\begin{tabular}{lllllrrrr}\n"
        "\\toprule\n"
        "Method & Drawings & Encoders & Weights & Proposals & refcoco val & published & n & set aside \\\\\n"
        "\\midrule\n"
        "first-box & -- & -- & none & gold & 19.5 & 19.5 & 10831 & 3 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_intervals_join_the_seeds() -> None:
    def counted(correct: list[int]) -> dict:
        tally = ImageTally(tuple("abcd"), np.full(4, 5), np.array(correct))
        return {VAL: SplitCount(20, sum(correct), 0, tally)}

    def seeded(seed: int) -> Predictions:
        method = Method(name="P,S", variants=(variant("P"),), subtraction=Subtraction(seed=seed))
        return product(method, (encoder("tiny"),))

    (both,) = group_seeds([(seeded(0), counted([5, 0, 3, 2])), (seeded(1), counted([1, 4, 3, 2]))])
    (same,) = group_seeds([(seeded(0), counted([3, 2, 3, 2]))])
    assert both.interval(VAL) == same.interval(VAL)
    assert both.interval(TEST_A) is None
    (unknown,) = group_seeds([(seeded(0), {VAL: SplitCount(20, 10, 0)})])
    assert unknown.interval(VAL) is None
