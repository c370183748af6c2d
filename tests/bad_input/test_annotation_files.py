"""Annotation files that cannot be read end the preparation with exit 2, the place named, nothing written."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from scenes import scene, write

from infra.dataset.shards import read_manifest, read_shard
from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare

JSONL, DETECTIONS = "reclip/refcoco_val.jsonl", "reclip/refcoco_dets_dict.json"
INSTANCES, PICKLE = "refer/refcoco/instances.json", "refer/refcoco/refs(unc).p"
Spoil = Callable[[bytes], bytes]


def second_line(change: Callable[[str], str]) -> Spoil:
    def spoil(data: bytes) -> bytes:
        lines = data.decode().split("\n")
        lines[1] = change(lines[1])
        return "\n".join(lines).encode()

    return spoil


def second_record(**changes: object) -> Spoil:
    return second_line(lambda line: json.dumps({**json.loads(line), **changes}))


def without(name: str) -> Spoil:
    return second_line(lambda line: json.dumps({k: v for k, v in json.loads(line).items() if k != name}))


def box(*values: object) -> dict[str, object]:
    return {"anns": [{"id": 1, "bbox": values}]}


class Code:
    def __reduce__(self):
        return print, ("ran",)


FILES: dict[str, tuple[str, Spoil, str]] = {
    "jsonl: cut line": (JSONL, second_line(lambda t: t[:40]), "jsonl:2: not valid JSON at line 1, column"),
    "jsonl: trailing comma": (JSONL, second_line(lambda t: t[:-1] + ",}"), "jsonl:2: not valid JSON"),
    "jsonl: two records in a line": (JSONL, second_line(lambda t: t + t), "jsonl:2: not valid JSON"),
    "jsonl: not a record": (JSONL, second_line(lambda t: "[1, 2]"), "jsonl:2: the record: "),
    "jsonl: null": (JSONL, second_line(lambda t: "null"), "jsonl:2: the record: "),
    "jsonl: missing field": (JSONL, without("anns"), "jsonl:2: anns: Field required"),
    "jsonl: wrong type": (JSONL, second_record(sentences="red"), "jsonl:2: sentences: "),
    "jsonl: empty file name": (JSONL, second_record(file_name=""), "jsonl:2: file_name: "),
    "jsonl: text of half a character": (JSONL, second_record(file_name="\ud800"), "jsonl:2: file_name: "),
    "jsonl: box of three numbers": (JSONL, second_record(**box(1, 2, 3)), "jsonl:2: anns.0.bbox"),
    "jsonl: box of words": (JSONL, second_record(**box(1, 2, 3, "wide")), "jsonl:2: anns.0.bbox.3"),
    "jsonl: box of null": (JSONL, second_record(**box(1, 2, 3, None)), "jsonl:2: anns.0.bbox.3"),
    "jsonl: box too large for a number": (JSONL, second_record(**box(1, 2, 3, 10**400)), "jsonl:2: anns.0.b"),
    "jsonl: number of 5000 digits": (JSONL, second_line(lambda t: "9" * 5000), "jsonl:2: Exceeds the limit"),
    "jsonl: duplicate key": (
        JSONL,
        second_line(lambda t: t.replace("{", '{"file_name": "x.png", ', 1)),
        "jsonl:2: the key 'file_name' occurs twice",
    ),
    "jsonl: nested too deeply": (JSONL, second_line(lambda t: "[" * 100_000), "jsonl:2: nested too deeply"),
    "jsonl: UTF-16": (JSONL, lambda data: data.decode().encode("utf-16"), "jsonl: byte 0 is not UTF-8"),
    "jsonl: binary": (JSONL, lambda data: bytes(range(128, 256)), "jsonl: byte 0 is not UTF-8"),
    "jsonl: empty": (JSONL, lambda data: b"", "no references of refcoco"),
    "jsonl: two lists of boxes for an image": (
        JSONL,
        second_record(**box(1, 2, 3, 4)),
        "jsonl:2: lists other annotations of scene000.png than",
    ),
    "duplicate ids: one line twice": (
        JSONL,
        lambda data: data + data.split(b"\n")[0] + b"\n",
        "2 expression ids occur more than once: 0-0-0, 0-0-1",
    ),
    "duplicate ids: 30 lines twice": (
        JSONL,
        lambda data: data + data,
        "40 expression ids occur more than once: 0-0-0, ",
    ),
    "JSON: detections cut": (DETECTIONS, lambda data: data[:30], "dets_dict.json: not valid JSON at line 1"),
    "JSON: detections of another shape": (DETECTIONS, lambda data: b'"boxes"', "dets_dict.json: the record"),
    "JSON: detections with a short box": (DETECTIONS, lambda data: b'{"1": [[1, 2]]}', "json: 1.0"),
    "JSON: detections in UTF-16": (
        DETECTIONS,
        lambda data: data.decode().encode("utf-16"),
        "dets_dict.json: byte 0 is not UTF-8",
    ),
    "JSON: instances cut": (INSTANCES, lambda data: data[:30], "instances.json: not valid JSON at line 1"),
    "JSON: instances without image_id": (
        INSTANCES,
        lambda data: b'{"annotations": [{"id": 7, "bbox": [1, 2, 3, 4]}]}',
        "instances.json: annotation 7 has no image_id",
    ),
    "pickle: cut": (PICKLE, lambda data: data[:30], "refs(unc).p: refused: not a readable pickle"),
    "pickle: with code": (
        PICKLE,
        lambda data: pickle.dumps([Code()]),
        "refs(unc).p: refused: the pickle asks",
    ),
    "pickle: of another shape": (PICKLE, lambda data: pickle.dumps({"a": 1}), "refs(unc).p: the record: "),
    "pickle: missing field": (PICKLE, lambda data: pickle.dumps([{"ref_id": 1}]), "refs(unc).p: 0.file_name"),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write(folder, [scene(number) for number in range(10)])
    shutil.copytree(drawn / "refer", folder / "refer")
    return folder


def run(folder: Path, *flags: str) -> int:
    common = ["--images", str(folder / "images"), "--out", str(folder / "out"), "--executor", "inline"]
    return run_job(PrepareOptions, prepare, [*common, "--datasets", "refcoco", *flags])


@pytest.mark.parametrize("name", FILES)
def test_file(name: str, source: Path, tmp_path: Path, capsys, matrix) -> None:
    spoiled, spoil, expected = FILES[name]
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    (tmp_path / spoiled).write_bytes(spoil((source / spoiled).read_bytes()))
    kind = spoiled.partition("/")[0]
    status = run(tmp_path, f"--{kind}", str(tmp_path / kind))
    message = capsys.readouterr().err.replace(str(tmp_path), "")
    assert status == Exit.BAD_INPUT
    assert expected in message
    assert len(message) < 400
    assert not (tmp_path / "out").exists()
    matrix(name, f"exit {status}: {message.removeprefix('error: ').strip()[:60]}")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("line ends of Windows", lambda data: data.replace(b"\n", b"\r\n")),
        ("byte-order mark", lambda data: b"\xef\xbb\xbf" + data),
        ("blank lines", lambda data: b"\n \n" + data + b"\n\n"),
    ],
)
def test_harmless_differences_are_accepted(name: str, change: Spoil, source: Path, tmp_path: Path, matrix):
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    for out, spoil in (("plain", lambda data: data), (name, change)):
        (tmp_path / JSONL).write_bytes(spoil((source / JSONL).read_bytes()))
        assert run(tmp_path, "--reclip", str(tmp_path / "reclip"), "--out", str(tmp_path / out)) == 0
    names = [sorted(path.name for path in (tmp_path / out).iterdir()) for out in ("plain", name)]
    assert names[0] == names[1]  # names hold digests of the content
    matrix(f"jsonl: {name}", "accepted, shards equal")


def test_one_picture_under_two_names_and_one_number_in_two_names(tmp_path: Path, matrix) -> None:
    scenes = [scene(number) for number in range(3)]
    scenes[1].picture = scenes[0].picture
    names = [
        "COCO_train2014_000000000007_1.jpg",
        "COCO_train2014_000000000008_1.jpg",
        "COCO_train2014_7_1.jpg",
    ]
    sources = write(tmp_path, scenes)
    for s, name in zip(scenes, names, strict=True):
        s.file_name = name
        present = name if name.startswith("COCO_train2014_7") else name.rpartition("_")[0] + ".jpg"
        (tmp_path / "images" / present).write_bytes(s.picture)
    shutil.rmtree(tmp_path / "reclip")
    write(tmp_path, scenes)
    out = str(tmp_path / "out")
    assert prepare(PrepareOptions(**sources, out=out, executor="inline")) == Exit.COMPLETE
    (shard,) = read_manifest(out).shards
    rows = {row["image_key"]: row["image_sha256"] for row in read_shard(out, shard).to_pylist()}
    assert list(rows) == ["coco/train2014/7", "coco/train2014/8", "file/COCO_train2014_7_1.jpg"]
    assert rows["coco/train2014/7"] == rows["coco/train2014/8"] != rows["file/COCO_train2014_7_1.jpg"]
    matrix("duplicate ids: one picture under two names", "distinct keys, equal hash")
    matrix("duplicate ids: one number in two names", "distinct keys, each with its own picture")


@pytest.mark.parametrize(
    ("case", "flags", "expected"),
    [
        ("no annotation files", ["--reclip", "/nowhere"], "no references of refcoco found"),
        ("no image folder", ["--reclip", "{}/reclip", "--images", "/nowhere"], "--images: /nowhere does not"),
        (
            "no detections",
            ["--reclip", "{}/reclip", "--detections", "/nowhere"],
            "/nowhere/refcoco_dets_dict",
        ),
        ("unknown dataset: prepare", ["--reclip", "{}/reclip", "--datasets", "refcoc"], "refcoco"),
        ("unknown split: prepare", ["--reclip", "{}/reclip", "--splits", "testC"], "testA"),
    ],
)
def test_places_and_names(case: str, flags: list[str], expected: str, source: Path, tmp_path, capsys, matrix):
    status = run(source, *(flag.format(source) for flag in flags), "--out", str(tmp_path / "out"))
    message = capsys.readouterr().err
    assert status == Exit.BAD_INPUT
    assert expected in message
    assert not (tmp_path / "out").exists()
    matrix(case, f"exit {status}: names {expected}")
