"""From annotated references to image rows: shared regions, order, statuses and what is set aside."""

from __future__ import annotations

import io
import math

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from operators.datasets.complete_rows import complete_row
from operators.datasets.formats.annotations import AnnotatedRef, AnnotationError, BoxXYWH, Sentence
from operators.datasets.image_rows import assemble_rows, caption_banks, image_key
from operators.pixels.geometry import INVALID, PARTLY_OUTSIDE
from operators.pixels.images import ImageError
from operators.rows.records import IMAGE_ROW, OK, QUARANTINED

A, B, C = (0.0, 0.0, 10.0, 10.0), (5.0, 5.0, 10.0, 10.0), (20.0, 5.0, 10.0, 12.0)
WIDTH, HEIGHT = 40, 30


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def ref(
    *texts: str,
    image: int = 1,
    boxes: tuple[BoxXYWH, ...] = (A, B),
    targets: tuple[str, ...] = ("0",),
    **changes: object,
) -> AnnotatedRef:
    values = {
        "dataset": "refcoco",
        "split": "val",
        "ref_id": "r",
        "image_file": f"COCO_train2014_{image:012d}.jpg",
        "image_id": str(image),
        "gold": tuple((str(i), box) for i, box in enumerate(boxes)),
        "target_ids": targets,
        "sentences": tuple(Sentence(None, text) for text in texts or ("left thing",)),
        "place": "f:1",
    }
    return AnnotatedRef(**values | changes)


def completed(
    reference: AnnotatedRef, detections: dict | None = None, image: bytes | ImageError | None = None
) -> dict:
    (row,) = assemble_rows([reference], detections or {})
    return complete_row(row, picture() if image is None else image)


def sets(row: dict) -> dict[str, list[int]]:
    return {s["name"]: s["region_ids"] for s in row["proposal_sets"]}


def boxes(row: dict) -> list[BoxXYWH]:
    return [tuple(region["box_xywh"]) for region in row["regions"]]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("COCO_train2014_000000581857.jpg", "coco/train2014/581857"),
        ("COCO_val2014_000000000001.jpg", "coco/val2014/1"),
        ("COCO_train2014_000000000000.jpg", "coco/train2014/0"),
        ("COCO_test2014_000000000001.jpg", "file/COCO_test2014_000000000001.jpg"),
        ("COCO_train2014_000000581857.png", "file/COCO_train2014_000000581857.png"),
        ("../x.jpg", "file/../x.jpg"),
    ],
)
def test_image_key(name: str, key: str) -> None:
    assert image_key(name) == key


def test_rows_are_ordered_by_key_whatever_the_order_of_references() -> None:
    refs = [ref(image=30), ref(image=4), ref(image=200)]
    keys = [row["image_key"] for row in assemble_rows(refs, {})]
    assert keys == ["coco/train2014/200", "coco/train2014/30", "coco/train2014/4"]
    assert keys == [row["image_key"] for row in assemble_rows(refs[::-1], {})]


def test_equal_boxes_share_a_region_and_stay_twice_among_the_candidates() -> None:
    detections = {"refcoco": {"1": [C, A, C, C]}}
    (row,) = assemble_rows([ref(boxes=(A, B, A))], detections)
    assert boxes(row) == [A, B, C]
    assert sets(row) == {"gold/refcoco": [0, 1, 0], "detections/refcoco": [2, 0, 2, 2]}
    sources = [region["sources"] for region in row["regions"]]
    assert sources == [["gold/refcoco", "detections/refcoco"], ["gold/refcoco"], ["detections/refcoco"]]
    assert [region["region_id"] for region in row["regions"]] == [0, 1, 2]


def test_datasets_share_an_image_but_not_its_candidates() -> None:
    refs = [
        ref("one", boxes=(A, B)),
        ref("two", boxes=(B, C), targets=("1",), dataset="refcocog"),
        ref("three", boxes=(A, B), split="testA", targets=("1",)),
    ]
    (row,) = assemble_rows(refs, {"refcocog": {"1": [C]}})
    assert boxes(row) == [A, B, C]
    assert sets(row) == {"gold/refcoco": [0, 1], "gold/refcocog": [1, 2], "detections/refcocog": [2]}
    found = [(r["dataset"], r["split"], r["target_region_ids"]) for r in row["refs"]]
    assert found == [("refcoco", "val", [0]), ("refcocog", "val", [2]), ("refcoco", "testA", [1])]


def test_positions_in_the_bank_follow_the_file_not_the_images() -> None:
    refs = [ref("a", "b", image=9), ref("c", image=1), ref("d", image=9), ref("e", image=9, split="testA")]
    found = {
        (r["split"], e["text"]): (e["split_index"], e["expression_id"])
        for row in assemble_rows(refs, {})
        for r in row["refs"]
        for e in r["expressions"]
    }
    assert found == {
        ("val", "a"): (0, "val-0"),
        ("val", "b"): (1, "val-1"),
        ("val", "c"): (2, "val-2"),
        ("val", "d"): (3, "val-3"),
        ("testA", "e"): (0, "testA-0"),
    }


def test_banks_keep_file_order_case_and_duplicates() -> None:
    refs = [ref("Same", "same"), ref("Same", image=2), ref("x", dataset="refcoco+")]
    banks = caption_banks(refs)
    assert [e["text"] for e in banks["refcoco", "val"]] == ["Same", "same", "Same"]
    assert [e["text"] for e in banks["refcoco+", "val"]] == ["x"]


def test_an_expression_id_may_occur_once_a_dataset() -> None:
    def with_id(**changes: object) -> AnnotatedRef:
        return ref(sentences=(Sentence("7", "x"),), **changes)

    assert len(caption_banks([with_id(), with_id(dataset="refcoco+")])) == 2
    with pytest.raises(AnnotationError, match="refcoco: 1 expression ids occur more than once: 7"):
        caption_banks([with_id(), with_id(split="testA", image=2)])


def test_two_gold_lists_of_one_image_are_named() -> None:
    refs = [ref(place="a.jsonl:1"), ref(boxes=(A, C), split="testA", place="b.jsonl:9")]
    with pytest.raises(
        AnnotationError, match=r"^b\.jsonl:9: lists other annotations of COCO.* than a\.jsonl:1"
    ):
        assemble_rows(refs, {})
    with pytest.raises(AnnotationError, match="one list of gold proposals"):
        assemble_rows([ref(boxes=(A, B)), ref(boxes=(B, A))], {})


def test_boxes_with_nan_do_not_make_lists_differ() -> None:
    odd = (math.nan, 1.0, 2.0, 3.0)
    (row,) = assemble_rows([ref(boxes=(odd, A)), ref(boxes=(odd, A))], {})
    assert sets(row) == {"gold/refcoco": [0, 1]}


def test_statuses_of_regions() -> None:
    odd = ((-5.0, 0.0, 10.0, 10.0), (50.0, 0.0, 5.0, 5.0), (1.0, 1.0, 0.0, 5.0), (math.nan, 0.0, 1.0, 1.0))
    row = completed(ref(boxes=(A, *odd)))
    assert (row["width"], row["height"], row["status"], row["error"]) == (WIDTH, HEIGHT, OK, None)
    assert [r["status"] for r in row["regions"]] == [OK, PARTLY_OUTSIDE, INVALID, INVALID, INVALID]


def test_a_completed_row_fits_the_schema() -> None:
    row = completed(ref(), {"refcoco": {"1": [C]}})
    (stored,) = pa.Table.from_pylist([row], schema=IMAGE_ROW).to_pylist()
    assert stored == {**row, "regions": stored["regions"], "refs": stored["refs"]}
    assert stored["image_sha256"] != completed(ref(), image=b"other")["image_sha256"]
    assert row.keys() == set(IMAGE_ROW.names)


def test_an_image_without_detections_gets_one_box_covering_it() -> None:
    row = completed(ref(), {"refcoco": {}})
    assert boxes(row) == [A, B, (0.0, 0.0, WIDTH, HEIGHT)]
    assert sets(row)["detections/refcoco"] == [2]
    assert row["regions"][2]["sources"] == ["detections/refcoco"]
    assert row["regions"][2]["status"] == OK


def test_the_covering_box_is_shared_where_it_exists() -> None:
    whole = (0.0, 0.0, float(WIDTH), float(HEIGHT))
    row = completed(ref(boxes=(A, whole)), {"refcoco": {"1": []}})
    assert boxes(row) == [A, whole]
    assert sets(row)["detections/refcoco"] == [1]
    assert row["regions"][1]["sources"] == ["gold/refcoco", "detections/refcoco"]


def test_two_datasets_without_detections_share_the_covering_box() -> None:
    refs = [ref(), ref(dataset="refcocog")]
    (row,) = assemble_rows(refs, {"refcoco": {}, "refcocog": {}})
    row = complete_row(row, picture())
    assert sets(row)["detections/refcoco"] == sets(row)["detections/refcocog"] == [2]
    assert len(row["regions"]) == 3


def test_a_dataset_without_a_detection_file_has_no_detections() -> None:
    assert sets(completed(ref())) == {"gold/refcoco": [0, 1]}
    # An empty list of annotations is no reason for a covering box.
    assert sets(completed(ref(boxes=()))) == {"gold/refcoco": []}


def test_several_targets() -> None:
    row = completed(ref(boxes=(A, B, C), targets=("2", "0")))
    assert sorted(row["refs"][0]["target_region_ids"]) == [0, 2]
    # rec_scoring section 2.1: every annotation whose id is asked for, also where an id occurs twice.
    double = completed(ref(gold=(("5", A), ("6", B), ("5", C)), targets=("5",)))
    assert sorted(double["refs"][0]["target_region_ids"]) == [0, 2]


def expression_error(row: dict) -> str | None:
    (expression,) = row["refs"][0]["expressions"]
    assert (expression["status"] == QUARANTINED) == (expression["error"] is not None)
    return expression["error"] and expression["error"]["code"]


OUTSIDE = (500.0, 0.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        (ref("a thing"), None),
        (ref("😀 \u202eright to left"), None),
        (ref("x" * 10_000), None),
        (ref(""), "text.empty"),
        (ref(" \t\n\u3000"), "text.empty"),
        (ref("a\0b"), "text.invalid"),
        (ref(targets=("77",)), "target.missing"),
        (ref(targets=()), "target.missing"),
        (ref(boxes=()), "target.missing"),
        (ref(boxes=(OUTSIDE, A)), "target.invalid"),
        (ref(boxes=(OUTSIDE, A), targets=("0", "1")), None),
        (ref(boxes=(OUTSIDE, A), targets=("1",)), None),
    ],
)
def test_expressions_are_set_aside_with_a_reason(reference: AnnotatedRef, code: str | None) -> None:
    assert expression_error(completed(reference)) == code


def test_one_bad_expression_leaves_its_neighbours() -> None:
    row = completed(ref("good", "", "also good"))
    assert [e["status"] for e in row["refs"][0]["expressions"]] == [OK, QUARANTINED, OK]


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (b"", "image.empty"),
        (b"<html>", "image.undecodable"),
        (picture()[:-60], "image.truncated"),
        (ImageError("image.missing", "x.jpg is not in images"), "image.missing"),
        (ImageError("path.escape", "../x.jpg leads out"), "path.escape"),
    ],
)
def test_a_bad_picture_sets_everything_of_its_row_aside(image: bytes | ImageError, code: str) -> None:
    row = completed(ref(""), {"refcoco": {}}, image)
    assert (row["status"], row["error"]["stage"], row["error"]["code"]) == (QUARANTINED, "prepare", code)
    assert expression_error(row) == code
    assert sets(row)["detections/refcoco"] == []
    assert all(region["status"] == INVALID for region in row["regions"])
    assert row["image"] == (image if isinstance(image, bytes) else b"")
    assert pa.Table.from_pylist([row], schema=IMAGE_ROW).num_rows == 1
