"""Annotation files: ReCLIP's jsonl and detections, REFER's pickles and instances, and their faults."""

from __future__ import annotations

import json
import pickle

import pytest

from operators.datasets.formats import reclip, refer
from operators.datasets.formats.annotations import (
    AnnotatedRef,
    AnnotationError,
    Sentence,
    decode_text,
    image_file_name,
    parse_json,
)

NAME = "refcoco_testa.jsonl"


def record(**changes: object) -> dict:
    base = {
        "file_name": "COCO_train2014_000000581857_16.jpg",
        "image_id": 581857,
        "ann_id": 16,
        "ref_id": 7,
        "anns": [{"id": 15, "bbox": [1, 2, 3, 4.5]}, {"id": 16, "bbox": [5, 6, 7, 8], "segmentation": []}],
        "sentences": [{"raw": "The LADY", "sent_id": 42, "sent": "the lady", "tokens": ["the", "lady"]}],
    }
    return {key: value for key, value in (base | changes).items() if value is not ...}


def read(*records: dict | str) -> list[AnnotatedRef]:
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    return list(reclip.read_split("\n".join(lines).encode(), NAME, "refcoco", "testA"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("COCO_train2014_000000581857_16.jpg", "COCO_train2014_000000581857.jpg"),
        ("COCO_val2014_000000000042_1234567.jpg", "COCO_val2014_000000000042.jpg"),
        ("sub/COCO_train2014_000000581857_16.png", "sub/COCO_train2014_000000581857.png"),
        # Names that only look like it stand: cut after the last "_", each would become another picture's.
        ("COCO_train2014_000000000002.jpg", "COCO_train2014_000000000002.jpg"),
        ("COCO_train2014_000000581857_16", "COCO_train2014_000000581857_16"),
        ("COCO_train2014_7_1.jpg", "COCO_train2014_7_1.jpg"),
        ("coco_x_1.png", "coco_x_1.png"),
        ("my_coco/kitchen_1.jpg", "my_coco/kitchen_1.jpg"),
        ("photo_16.jpg", "photo_16.jpg"),
        ("coco.jpg", "coco.jpg"),
    ],
)
def test_image_file_name(name: str, expected: str) -> None:
    assert image_file_name(name) == expected


def test_a_reclip_line() -> None:
    assert read(record()) == [
        AnnotatedRef(
            dataset="refcoco",
            split="testA",
            ref_id="7",
            image_file="COCO_train2014_000000581857.jpg",
            image_id="581857",
            gold=(("15", (1.0, 2.0, 3.0, 4.5)), ("16", (5.0, 6.0, 7.0, 8.0))),
            target_ids=("16",),
            sentences=(Sentence("42", "The LADY"),),
            place="refcoco_testa.jsonl:1",
            written_name="COCO_train2014_000000581857_16.jpg",
        )
    ]


@pytest.mark.parametrize(
    ("ann_id", "expected"), [(16, ("16",)), ("16", ("16",)), ([16, 15], ("16", "15")), (["16"], ("16",))]
)
def test_ann_id_may_be_one_or_a_list(ann_id: object, expected: tuple[str, ...]) -> None:
    assert read(record(ann_id=ann_id))[0].target_ids == expected


@pytest.mark.parametrize("sent_id", [..., None])
def test_a_sentence_without_an_id(sent_id: object) -> None:
    sentence = {"raw": "x"} if sent_id is ... else {"raw": "x", "sent_id": sent_id}
    assert read(record(sentences=[sentence]))[0].sentences == (Sentence(None, "x"),)


def test_ids_that_are_missing_or_zero() -> None:
    first, second = read(record(ref_id=...), record(ref_id=0, sentences=[{"raw": "x", "sent_id": 0}]))
    assert first.ref_id == "testA-0"
    assert second.ref_id == "0"
    assert second.sentences[0].sentence_id == "0"


def test_no_sentences_and_no_annotations_are_data() -> None:
    (ref,) = read(record(sentences=[], anns=[]))
    assert (ref.sentences, ref.gold) == ((), ())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"file_name": ...}, "file_name"),
        ({"file_name": ""}, "file_name"),
        ({"file_name": 5}, "file_name"),
        ({"ann_id": ...}, "ann_id"),
        ({"ann_id": None}, "ann_id"),
        ({"anns": ...}, "anns"),
        ({"anns": [{"id": 1, "bbox": [1, 2, 3]}]}, r"anns\.0\.bbox"),
        ({"anns": [{"id": 1, "bbox": [1, 2, 3, 4, 5]}]}, r"anns\.0\.bbox"),
        ({"anns": [{"id": 1, "bbox": [1, 2, 3, "wide"]}]}, r"anns\.0\.bbox\.3"),
        ({"anns": [{"id": 1, "bbox": None}]}, r"anns\.0\.bbox"),
        ({"anns": [{"bbox": [1, 2, 3, 4]}]}, r"anns\.0\.id"),
        ({"anns": [{"id": 1, "bbox": [10**400, 2, 3, 4]}]}, r"anns\.0\.bbox\.0"),
        ({"sentences": ...}, "sentences"),
        ({"sentences": "lady"}, "sentences"),
        ({"sentences": [{"sent": "lady"}]}, r"sentences\.0\.raw"),
        ({"sentences": [{"raw": None}]}, r"sentences\.0\.raw"),
        ({"sentences": [{"raw": "half \ud83d pair"}]}, r"sentences\.0\.raw"),
        ({"sentences": [{"raw": "x", "sent_id": "\ud83d"}]}, r"sentences\.0\.sent_id"),
    ],
)
def test_a_wrong_field_is_named_with_file_and_line(changes: dict, field: str) -> None:
    with pytest.raises(AnnotationError, match=rf"^refcoco_testa\.jsonl:2: {field}"):
        read(record(), record(**changes))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "a", }', "not valid JSON at line 1, column"),
        ("{'file_name': 'a'}", "not valid JSON"),
        ("[1, 2]", "the record"),
        ("null", "the record"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' occurs twice"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_not_a_json_record(line: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=rf"^refcoco_testa\.jsonl:3: .*{message}"):
        read(record(), "", line)


def test_json_at_the_file_level() -> None:
    assert parse_json('{"a": [1, null]}', "x.json") == {"a": [1, None]}
    with pytest.raises(AnnotationError, match=r"^x\.json: not valid JSON at line 2, column 1"):
        parse_json("[1,\n,2]", "x.json")


def test_unicode_line_ends_within_a_text_do_not_end_the_line() -> None:
    text = "left\u2028right\u2029up\x85down\x0cend"
    lines = [json.dumps(record(sentences=[{"raw": text}]), ensure_ascii=False), json.dumps(record(ref_id=9))]
    refs = read(*lines)
    assert refs[0].sentences[0].raw == text
    assert refs[1].place == "refcoco_testa.jsonl:2"


def test_windows_line_ends_and_byte_order_mark() -> None:
    text = json.dumps(record()) + "\r\n" + json.dumps(record(ref_id=9)) + "\r\n\r\n"
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode()):
        refs = list(reclip.read_split(data, NAME, "refcoco", "testA"))
        assert [(ref.ref_id, ref.place.rpartition(":")[2]) for ref in refs] == [("7", "1"), ("9", "2")]
        assert refs[0].sentences[0].raw == "The LADY"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_other_encodings_are_refused(encoding: str) -> None:
    data = json.dumps(record(sentences=[{"raw": "café"}]), ensure_ascii=False).encode(encoding)
    with pytest.raises(AnnotationError, match=r"^refcoco_testa\.jsonl"):
        list(reclip.read_split(data, NAME, "refcoco", "testA"))


def test_the_bad_byte_is_named() -> None:
    with pytest.raises(AnnotationError, match=r"x\.json: byte 3 is not UTF-8; save the file as UTF-8"):
        decode_text(b"abc\xff", "x.json")


def test_an_empty_file_has_no_references() -> None:
    assert list(reclip.read_split(b"\n \n", NAME, "refcoco", "testA")) == []


def test_names_of_reclip_files() -> None:
    assert reclip.split_file_name("refcoco+", "testB") == "refcoco+_testb.jsonl"
    assert reclip.detections_file_name("refcocog") == "refcocog_dets_dict.json"


def test_detections_as_a_dict_and_as_a_list() -> None:
    expected = {"1": [(1.0, 2.0, 3.0, 4.0), (0.5, 0.0, 1.0, 1.0)], "2": [(9.0, 9.0, 1.0, 1.0)]}
    as_dict = {"1": [[1, 2, 3, 4], [0.5, 0, 1, 1]], "2": [[9, 9, 1, 1]]}
    as_list = [
        {"image_id": 1, "box": [1, 2, 3, 4], "score": 0.9},
        {"image_id": "2", "box": [9, 9, 1, 1]},
        {"image_id": 1, "box": [0.5, 0, 1, 1]},
    ]
    assert reclip.read_detections(json.dumps(as_dict).encode(), "d.json") == expected
    assert reclip.read_detections(json.dumps(as_list).encode(), "d.json") == expected
    assert reclip.read_detections(b"{}", "d.json") == reclip.read_detections(b"[]", "d.json") == {}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('{"1": [[1, 2, 3]]}', r"1\.0\.3"),
        ('{"1": [1, 2, 3, 4]}', r"1\.0"),
        ('[{"image_id": 1}]', r"0\.box"),
        ('[{"image_id": 1, "box": [1, 2, 3, null]}]', r"0\.box\.3"),
        ('{"1": [], "1": []}', "the key '1' occurs twice"),
        ("5", ""),
    ],
)
def test_malformed_detections(content: str, where: str) -> None:
    with pytest.raises(AnnotationError, match=rf"^d\.json: {where}"):
        reclip.read_detections(content.encode(), "d.json")


INSTANCES = {
    "images": [{"id": 581857}],
    "annotations": [
        {"id": 15, "bbox": [1, 2, 3, 4.5], "image_id": 581857, "category_id": 1},
        {"id": 99, "bbox": [0, 0, 1, 1], "image_id": 1},
        {"id": 16, "bbox": [5, 6, 7, 8], "image_id": 581857},
    ],
}


def test_refer_files_say_the_same_as_reclip_files() -> None:
    gold = refer.read_instances(json.dumps(INSTANCES).encode(), "instances.json")
    refs = [record(anns=..., split="testA"), record(anns=..., split="val", ref_id=8)]
    data = pickle.dumps(refs, 2)
    (ref,) = refer.read_split(data, "refs(unc).p", gold, "refcoco", "testA")
    (expected,) = read(record())
    assert ref.place == "refs(unc).p[0]"
    assert {**vars(ref), "place": ""} == {**vars(expected), "place": ""}


def test_a_reference_to_an_image_without_annotations() -> None:
    data = pickle.dumps([record(anns=..., split="testA")], 2)
    (ref,) = refer.read_split(data, "refs(unc).p", {}, "refcoco", "testA")
    assert ref.gold == ()


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([{"id": 1, "bbox": [1, 2, 3, 4]}], "annotation 1 has no image_id"),
        ([{"id": 1, "bbox": [1, 2, 3], "image_id": 1}], r"annotations\.0\.bbox"),
        (None, "annotations"),
    ],
)
def test_malformed_instances(annotations: object, message: str) -> None:
    with pytest.raises(AnnotationError, match=rf"^instances\.json: {message}"):
        refer.read_instances(json.dumps({"annotations": annotations}).encode(), "instances.json")


def test_malformed_refer_references() -> None:
    with pytest.raises(AnnotationError, match=r"^refs\(unc\)\.p: 0\.split"):
        list(refer.read_split(pickle.dumps([record(anns=...)], 2), "refs(unc).p", {}, "refcoco", "val"))
    with pytest.raises(AnnotationError, match=r"^refs\(unc\)\.p: refused: the pickle asks for posix\.system"):
        list(refer.read_split(b"cposix\nsystem\n(S'true'\ntR.", "refs(unc).p", {}, "refcoco", "val"))
    with pytest.raises(AnnotationError, match=r"^refs\(unc\)\.p: 0\.sentences\.0\.raw: .*half a surrogate"):
        bad = record(anns=..., split="val", sentences=[{"raw": "\ud83d"}])
        list(refer.read_split(pickle.dumps([bad], 2), "refs(unc).p", {}, "refcoco", "val"))
