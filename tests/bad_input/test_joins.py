"""Sources that must meet: what does not match is refused or counted, and never becomes a number."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.dataset.shards import read_manifest, read_shard
from infra.run.command_line import run_job
from infra.run.options import Exit
from operators.pixels.masks import decode_masks
from pipelines.prepare_refcoco import PrepareOptions, prepare

DETECTIONS = "reclip/refcoco_dets_dict.json"


@pytest.fixture
def source(drawn: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shutil.copytree(drawn, folder)
    return folder


def run(source: Path, *flags: str, reader: str = "reclip", images: Path | None = None) -> int:
    out = str(source / "shards")
    shutil.rmtree(out, ignore_errors=True)
    where = ["--images", str(images or source / "images"), f"--{reader}", str(source / reader)]
    return run_job(PrepareOptions, prepare, [*where, "--out", out, "--executor", "inline", *flags])


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def edit_lines(file: Path, change: Callable[[dict], dict]) -> None:
    lines = [json.dumps(change(json.loads(line))) for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda boxes: {f"{int(k):012d}": v for k, v in boxes.items()}, "keys like '00000000100"),
        (
            lambda boxes: {f"COCO_train2014_{int(k):012d}.jpg": v for k, v in boxes.items()},
            "keys like 'COCO_",
        ),
        (lambda boxes: {str(i): v for i, v in enumerate(boxes.values())}, "keys like '0'"),
        (lambda boxes: {}, "none of its 0 entries"),
        (lambda boxes: [], "none of its 0 entries"),
    ],
    ids=["zero-padded", "file names", "counted from 0", "empty dict", "empty list"],
)
def test_detections_that_match_no_picture_are_refused(source: Path, capsys, change, told: str) -> None:
    edit(source / DETECTIONS, change)
    assert run(source) == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert "refcoco_dets_dict.json: none of its" in said and told in said
    assert "they are called like '100" in said
    assert not (source / "shards" / "manifest.json").exists()


def test_detections_of_some_pictures_are_counted(source: Path, capsys) -> None:
    edit(source / DETECTIONS, lambda boxes: {"77": [[1, 2, 3, 4]], **dict(list(boxes.items())[1:])})
    assert run(source) == Exit.COMPLETE
    said = capsys.readouterr().out
    assert "detections/refcoco: 3 of 6 images matched, such as '1000' not; 1 entries belong to none" in said
    (met,) = (j for j in read_manifest(str(source / "shards")).joins if j.what == "detections/refcoco")
    assert (met.asked, met.matched, met.unused) == (6, 3, 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x, y, w, h: [x, y, x + w, y + h], "left, top, right, bottom"),
        (lambda x, y, w, h: [v / 1000 for v in (x, y, w, h)], "fractions of the picture"),
        (lambda x, y, w, h: [4 * v for v in (x, y, w, h)], "pictures of another size"),
    ],
    ids=["corners", "fractions", "another scale"],
)
@pytest.mark.parametrize("of", ["detections", "gold"])
def test_boxes_of_another_format_are_refused(source: Path, capsys, of, change, told: str) -> None:
    if of == "detections":
        boxes = [[70.0, 60.0, 20.0, 20.0], [75.0, 60.0, 15.0, 18.0]]
        edit(source / DETECTIONS, lambda found: {k: [change(*b) for b in boxes] for k in found})
    else:
        for file in (source / "reclip").glob("*.jsonl"):
            edit_lines(
                file,
                lambda line: {**line, "anns": [{**a, "bbox": change(58, 50, 30, 28)} for a in line["anns"]]},
            )
    assert run(source) == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert f"proposal set {of}/refcoco" in said and told in said
    assert not (source / "shards" / "manifest.json").exists()


def test_targets_without_an_annotation_are_refused(source: Path, capsys) -> None:
    for file in (source / "reclip").glob("*.jsonl"):
        edit_lines(file, lambda line: {**line, "ann_id": line["ann_id"] + 10**6})
    assert run(source) == Exit.BAD_INPUT
    assert "no reference has an annotation with its target's id; " in capsys.readouterr().err


def test_parses_of_other_texts_are_refused(source: Path, capsys) -> None:
    parse = {"parser": "p", "tokens": ["cat"], "heads": [0], "deps": ["ROOT"], "noun_chunks": []}
    (source / "parses.jsonl").write_text(json.dumps({"text": "cat", "parse": parse}))
    assert run(source, "--parses", str(source / "parses.jsonl")) == Exit.BAD_INPUT
    assert "parses.jsonl: none of its 1 entries belongs to any of the" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["above", "two above", "below"])
def test_a_picture_folder_that_is_off_by_a_level_is_refused(source: Path, capsys, level: str) -> None:
    right = source / "coco" / "train2014"
    shutil.copytree(source / "images", right)
    (right / "thumbs").mkdir()
    wrong = {"above": right.parent, "two above": source, "below": right / "thumbs"}[level]
    shutil.rmtree(source / "images")
    assert run(source, images=wrong) == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert f"--images {wrong}: none of the 6 pictures is there; looked for {wrong}/COCO_train2014_" in said
    assert f"did you mean --images {right}?" in said


def test_missing_pictures_are_counted_named_and_above_the_limit(source: Path, capsys) -> None:
    for name in sorted(path.name for path in (source / "images").iterdir())[:2]:
        (source / "images" / name).unlink()
    assert run(source) == Exit.QUARANTINE_ABOVE_LIMIT
    said = capsys.readouterr().out
    assert "pictures: 4 of 6 images matched, such as 'COCO_train2014_000000001000.jpg' not" in said
    assert "set aside: 2 images, image.missing, such as coco/train2014/1000: COCO_train2014_" in said
    assert "expressions, image.missing, such as refcoco/val " in said
    reasons = {(r.of, r.code): r.count for r in read_manifest(str(source / "shards")).reasons}
    assert reasons["images", "image.missing"] == 2


def test_a_name_that_exists_wins(source: Path) -> None:
    """One file's picture has the very name that REFER would make from another's."""
    first, *_ = sorted(path.name for path in (source / "images").iterdir())
    lines = (source / "reclip" / "refcoco_val.jsonl").read_text().splitlines()
    written = json.loads(lines[0])["file_name"]
    assert written != first and written.startswith(first.removesuffix(".jpg"))
    shutil.copy(source / "images" / first, source / "images" / written)
    assert run(source) == Exit.COMPLETE
    manifest = read_manifest(str(source / "shards"))
    rows = [row for s in manifest.shards for row in read_shard(str(source / "shards"), s).to_pylist()]
    assert {f"file/{written}", "coco/train2014/1000"} <= {row["image_key"] for row in rows}


def one_picture(folder: Path, segmentations: list[Any], boxes: list[list[float]], **extra: Any) -> Path:
    """A picture of 64 x 48 with one reference to each of some annotations."""
    (folder / "images").mkdir(parents=True)
    (folder / "reclip").mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "images" / "a.png")
    anns = [
        {"id": i, "bbox": box, "segmentation": outline}
        for i, (box, outline) in enumerate(zip(boxes, segmentations, strict=True))
    ]
    lines = [
        {
            "file_name": "a.png",
            "image_id": 1,
            "ann_id": i,
            "anns": anns,
            "sentences": [{"raw": f"thing {i}", "sent_id": i}],
            **extra,
        }
        for i in range(len(anns))
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "reclip" / "refcoco_val.jsonl").write_text(text)
    return folder


def test_one_box_with_two_outlines_keeps_both(tmp_path: Path, capsys) -> None:
    box = [10.0, 8.0, 20.0, 30.0]
    upper, lower = [[10, 8, 30, 8, 10, 38]], [[30, 8, 30, 38, 10, 38]]
    source = one_picture(tmp_path / "s", [upper, lower, upper], [box] * 3)
    assert run(source) == Exit.COMPLETE
    (shard,) = read_manifest(str(source / "shards")).shards
    (row,) = read_shard(str(source / "shards"), shard).to_pylist()
    assert [s["region_ids"] for s in row["proposal_sets"]] == [[0, 1, 0]]
    assert [ref["target_region_ids"] for ref in row["refs"]] == [[0], [1], [0]]
    first, second = decode_masks([region["exact_mask"] for region in row["regions"]], (48, 64))
    assert first.sum() > 250 and second.sum() > 250 and (first & second).sum() < 40
    assert "masks of gold/refcoco: 3 of 3 annotated outlines matched" in capsys.readouterr().out


def test_outlines_that_cannot_be_read_are_counted_and_not_claimed(tmp_path: Path, capsys) -> None:
    nothing = [[[1, 2, 3, 4]], {"size": [9, 9], "counts": [81]}, {"size": [48, 64], "counts": "zzz"}]
    source = one_picture(tmp_path / "s", nothing, [[1, 1, 9, 9], [2, 2, 9, 9], [3, 3, 9, 9]])
    assert run(source) == Exit.COMPLETE
    assert "masks of gold/refcoco: 0 of 3 annotated outlines matched" in capsys.readouterr().out
    assert read_manifest(str(source / "shards")).exact_mask_sets == []


@pytest.mark.parametrize("turned", [True, False], ids=["EXIF turn", "another size"])
def test_a_picture_of_another_size_than_annotated_is_set_aside(tmp_path: Path, capsys, turned) -> None:
    source = one_picture(tmp_path / "s", [None], [[1, 2, 30, 20]], width=48, height=64)
    image, exif = Image.open(source / "images" / "a.png"), Image.Exif()
    exif[0x0112] = 6 if turned else 1
    image.save(source / "images" / "a.png", exif=exif)
    assert run(source) == Exit.QUARANTINE_ABOVE_LIMIT
    said = capsys.readouterr().out
    assert f"set aside: 1 images, image.{'turned' if turned else 'size'}, such as file/a.png: " in said
    assert ("1 pictures have an EXIF turn" in said) == turned


def test_a_pickle_saved_again_with_numpys_numbers_is_refused_in_words(source: Path, capsys) -> None:
    file = source / "refer" / "refcoco" / "refs(unc).p"
    file.write_bytes(pickle.dumps([{"ref_id": np.int64(3)}], protocol=2))
    assert run(source, reader="refer") == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert (
        "refs(unc).p: refused: the pickle asks for numpy" in said and "save it anew with plain ones" in said
    )


def test_the_google_split_alone_is_refused_in_words(source: Path, capsys) -> None:
    folder = source / "refer" / "refcocog"
    (folder / "refs(umd).p").rename(folder / "refs(google).p")
    assert run(source, "--datasets", "refcocog", reader="refer") == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert "refcocog has instances.json, refs(google).p" in said and "refs(umd).p" in said
