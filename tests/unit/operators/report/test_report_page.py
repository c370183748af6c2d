"""Parts of the report: the page's escaping and policy, pictures, the choice of examples, sections."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from operators.report.examples import Pick, example_card, pick_examples, set_aside
from operators.report.page import MAX_TEXT_CHARS, Facts, Listing, Section, Table, render, shortened
from operators.report.pictures import GAP_PX, TILE_PX, Outline, annotated, data_uri, strip
from operators.report.sections import set_aside_section, weights_warning
from operators.rows.records import PREDICTIONS

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "</style><b>",
    "‮right to left‏",
]


FORBIDDEN = {"onerror", "onload", "style"}


class Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not FORBIDDEN & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text_in_every_block(text: str) -> None:
    blocks = [Table([text], [[text]], 1, text), Facts([(text, text)]), Listing(text, text)]
    harmless = [Table(["a"], [["a"]], 1, "a"), Facts([("a", "a")]), Listing("a", "a")]
    page = Reader(render(text, [(text, text)], text, [Section(text, blocks, text)]))
    plain = Reader(render("a", [("a", "a")], "a", [Section("a", harmless, "a")]))
    assert page.tags == plain.tags
    assert page.text.count(text) == 15


def test_the_policy_allows_the_one_style_and_embedded_pictures_only() -> None:
    page = render("t", [], "", []).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style
    assert page.startswith("<!DOCTYPE html>")


def test_a_section_without_blocks_is_left_out() -> None:
    page = render("t", [], "", [Section("Empty", []), Section("Full", [Facts([("a", "b")])])]).decode()
    assert "Full" in page
    assert "Empty" not in page


def test_long_text_is_cut_and_says_so() -> None:
    assert shortened("x" * MAX_TEXT_CHARS) == "x" * MAX_TEXT_CHARS
    assert shortened("x" * 4000) == "x" * MAX_TEXT_CHARS + "… (4000 characters)"


def test_a_broken_character_does_not_stop_the_page() -> None:
    assert "a?b" in render("a\ud800b", [], "", []).decode()


def test_strips_hold_every_picture_squashed_to_a_square() -> None:
    pictures = [np.full((h, w, 3), 40 * i, dtype=np.uint8) for i, (h, w) in enumerate([(9, 30), (70, 8)], 1)]
    row = np.asarray(strip(pictures))
    assert row.shape == (TILE_PX, 2 * TILE_PX + GAP_PX, 3)
    assert (row[:, :TILE_PX] == 40).all()
    assert (row[:, TILE_PX : TILE_PX + GAP_PX] == 255).all()
    assert (row[:, TILE_PX + GAP_PX :] == 80).all()


@pytest.mark.parametrize("box", [[10, 10, 20, 20], [-5, -9, 500, 500], [99, 49, 9, 9], [5, 5, 0.1, 0.1]])
def test_outlines_are_drawn_inside_the_picture_in_their_colour(box: list[float]) -> None:
    image = Image.new("RGB", (100, 50))
    drawn = annotated(
        image, np.array([box], dtype=np.float64), [Outline("#ff0000", above="7", inset_px=4)], 200
    )
    assert drawn.size == (200, 100)
    assert ((np.asarray(drawn) == [255, 0, 0]).all(2)).sum() > 20
    assert image.getextrema() == ((0, 0),) * 3


def test_pictures_are_encoded_anew() -> None:
    uri = data_uri(Image.new("RGB", (8, 6), "red"))
    head, _, content = uri.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert (head, image.format, image.size) == ("data:image/jpeg;base64", "JPEG", (8, 6))


def prediction(expression: str, correct: bool | None, candidates: int = 2, **changes: object) -> dict:
    values = {
        "dataset": "refcoco",
        "split": "val",
        "ref_id": "r",
        "expression_id": expression,
        "candidate_region_ids": list(range(candidates)),
        "scores": [1.0] * candidates,
        "probabilities": [1 / candidates] * candidates,
        "predicted_region_id": 0,
        "correct": correct,
        "status": "ok",
    }
    return values | changes


def parts(images: dict[str, list[dict]], per_shard: int) -> dict[int, pa.Table]:
    rows = [{"image_key": key, "predictions": value} for key, value in images.items()]
    cuts = range(0, len(rows), per_shard)
    return {i: pa.Table.from_pylist(rows[c : c + per_shard], PREDICTIONS) for i, c in enumerate(cuts)}


IMAGES = {f"i{n}": [prediction(f"{n}-{k}", (n + k) % 2 == 0) for k in range(3)] for n in range(9)}


def test_the_same_examples_whatever_the_shards() -> None:
    chosen = [pick_examples(parts(IMAGES, n), each=4) for n in (1, 2, 9)]
    names = [[(pick.image_key, pick.prediction["expression_id"]) for pick in picks] for picks in chosen]
    assert names[0] == names[1] == names[2]
    assert [pick.prediction["correct"] for pick in chosen[0]] == [True] * 4 + [False] * 4
    for right in (names[0][:4], names[0][4:]):
        assert len({key for key, _ in right}) == 4
    (moved,) = [
        pick for pick in chosen[1] if (pick.image_key, pick.prediction["expression_id"]) == names[0][0]
    ]
    assert parts(IMAGES, 2)[moved.shard].column("image_key")[moved.row].as_py() == moved.image_key


def test_no_examples_without_a_choice_or_a_score() -> None:
    aside = {"status": "quarantined", "error": {"stage": "s", "code": "c", "message": "m"}, "scores": None}
    images = {"a": [prediction("0", True, candidates=1)], "b": [prediction("1", None, **aside)]}
    assert pick_examples(parts(images, 1), each=3) == []
    (found,) = set_aside(parts(images, 1))
    assert (found.shard, found.row, found.image_key) == (1, 0, "b")
    assert found.prediction["error"]["code"] == "c"


def test_a_card_lists_the_choice_first_and_the_target_always() -> None:
    row = {
        "image_key": "i",
        "image": _png(),
        "error": None,
        "regions": [{"box_xywh": [i, i, 5.0, 5.0]} for i in range(9)],
        "refs": [
            {
                "ref_id": "r",
                "dataset": "refcoco",
                "split": "val",
                "target_region_ids": [8],
                "expressions": [{"expression_id": "e", "text": "y" * 999}],
            }
        ],
    }
    probabilities = [0.05, 0.3, 0.3, 0.1, 0.1, 0.1, 0.03, 0.02, 0.0]
    scores = [*map(float, range(8)), None]
    candidates = [0, 1, 1, 3, 4, 5, 6, 7, 8]  # one region twice
    said = prediction("e", False, 9, candidate_region_ids=candidates, predicted_region_id=1)
    said |= {"probabilities": probabilities, "scores": scores}
    card = example_card(Pick(0, 0, "i", said), row)
    assert [line.number for line in card.candidates] == ["2", "3", "4", "5", "6", "9"]
    assert [line.chosen for line in card.candidates] == [True] + [False] * 5
    assert [line.target for line in card.candidates] == [False] * 5 + [True]
    assert card.candidates[-1].score == "no area"
    assert (card.more, card.right) == (3, False)
    assert card.text == shortened("y" * 999)


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 16), "white").save(buffer, "PNG")
    return buffer.getvalue()


def test_what_was_set_aside_is_counted_by_cause_and_listed_to_a_limit() -> None:
    def pick(code: str) -> Pick:
        fault = {"stage": "prepare", "code": code, "message": "m" * 999}
        return Pick(0, 0, "i", prediction("0", None, status="quarantined", error=fault))

    found = {("refcoco", str(n)): [pick("image.truncated" if n else "text.empty")] * 2 for n in range(5)}
    causes, listed = set_aside_section(found, {("refcoco", "0"): "<b>"}, limit=3).blocks
    assert causes.rows == [["image.truncated", "prepare", "4"], ["text.empty", "prepare", "1"]]
    assert [row[1] for row in listed.rows] == ["0", "1", "2"]
    assert listed.rows[0][3] == "<b>"
    assert {row[-1] for row in listed.rows} == {"2"}
    assert listed.caption.startswith("3 of 5 expressions")


@pytest.mark.parametrize(
    ("labels", "said"),
    [([], ""), (["real"], ""), (["real", "random"], "chance"), (["tiny"], "published models")],
)
def test_weights_that_are_not_real_are_announced(labels: list[str], said: str) -> None:
    assert said in weights_warning(labels)
    assert bool(weights_warning(labels)) == bool(said)
