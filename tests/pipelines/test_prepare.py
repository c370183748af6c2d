"""prepare_refcoco: readers agree, executors agree, counts and degenerate inputs."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infra.dataset.shards import read_bank, read_manifest, read_parsed_bank, read_shard
from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare


def run(out: Path, **options: object) -> int:
    return prepare(PrepareOptions(out=str(out), executor=options.pop("executor", "inline"), **options))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_both_readers_give_identical_shards(drawn: Path, tmp_path: Path) -> None:
    common = {"images": str(drawn / "images"), "detections": str(drawn / "reclip"), "images_per_shard": 2}
    assert run(tmp_path / "refer", refer=str(drawn / "refer"), **common) == 0
    assert run(tmp_path / "reclip", reclip=str(drawn / "reclip"), **common) == 0
    first = files(tmp_path / "refer")
    assert first == files(tmp_path / "reclip")
    assert sum(name.startswith("shard-") for name in first) == 3


def test_both_readers_give_identical_shards_of_the_photographs(photos: Path, tmp_path: Path) -> None:
    common = {"images": str(photos / "images"), "datasets": ("refcoco",), "images_per_shard": 3}
    assert run(tmp_path / "refer", refer=str(photos), **common) == 0
    assert run(tmp_path / "reclip", reclip=str(photos), **common) == 0
    assert files(tmp_path / "refer") == files(tmp_path / "reclip")
    splits = {
        s.name: (s.images, s.refs, s.expressions) for s in read_manifest(str(tmp_path / "refer")).splits
    }
    assert splits == {"refcoco/val": (4, 10, 22), "refcoco/testA": (4, 15, 32)}


def test_splits_without_references_are_named(drawn: Path, tmp_path: Path, capsys) -> None:
    run(tmp_path, images=str(drawn / "images"), refer=str(drawn / "refer"), datasets=("refcoco", "refcoco+"))
    said = capsys.readouterr().out
    assert "no references found for refcoco/testB, refcoco+/val, refcoco+/testA, refcoco+/testB\n" in said


def test_ray_writes_the_same_files(drawn: Path, tmp_path: Path, ray_cluster: str) -> None:
    common = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip"), "images_per_shard": 1}
    assert run(tmp_path / "ray", executor="ray", **common) == 0
    assert run(tmp_path / "inline", **common) == 0
    assert files(tmp_path / "ray") == files(tmp_path / "inline")


def test_rows_are_shared_between_datasets_and_keep_the_order_of_candidates(
    drawn: Path, tmp_path: Path
) -> None:
    run(tmp_path, images=str(drawn / "images"), reclip=str(drawn / "reclip"), images_per_shard=100)
    manifest = read_manifest(str(tmp_path))
    (shard,) = manifest.shards
    rows = read_shard(str(tmp_path), shard).to_pylist()
    assert len(rows) == len({row["image_key"] for row in rows}) == 6
    lines = (drawn / "reclip" / "refcoco_val.jsonl").read_text().splitlines()
    dets = json.loads((drawn / "reclip" / "refcoco_dets_dict.json").read_text())
    for ref in map(json.loads, lines):
        row = next(r for r in rows if r["image_key"] == f"coco/train2014/{ref['image_id']}")
        sets = {s["name"]: s["region_ids"] for s in row["proposal_sets"]}
        boxes = {region["region_id"]: region["box_xywh"] for region in row["regions"]}
        assert [boxes[i] for i in sets["gold/refcoco"]] == [a["bbox"] for a in ref["anns"]]
        assert sets["gold/refcoco"] == sets["gold/refcocog"]
        expected = dets.get(str(ref["image_id"]), [[0.0, 0.0, float(row["width"]), float(row["height"])]])
        assert [boxes[i] for i in sets["detections/refcoco"]] == expected
    statuses = {region["status"] for row in rows for region in row["regions"]}
    assert statuses == {"ok", "partly_outside", "invalid"}


def test_banks_are_whole_and_in_file_order(drawn: Path, tmp_path: Path) -> None:
    run(tmp_path, images=str(drawn / "images"), reclip=str(drawn / "reclip"))
    for split in read_manifest(str(tmp_path)).splits:
        path = drawn / "reclip" / f"{split.dataset}_{split.split.lower()}.jsonl"
        expected = [s["raw"] for line in path.read_text().splitlines() for s in json.loads(line)["sentences"]]
        assert read_bank(str(tmp_path), split) == expected


def test_bad_pictures_are_set_aside_and_spoil_no_neighbour(drawn: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(drawn / "images", images)
    names = sorted(path.name for path in images.iterdir())
    (images / names[0]).unlink()
    (images / names[1]).write_bytes(b"")
    (images / names[2]).write_bytes((images / names[2]).read_bytes()[:400])
    run(tmp_path / "clean", images=str(drawn / "images"), reclip=str(drawn / "reclip"))
    bad = {"images": str(images), "reclip": str(drawn / "reclip")}
    assert run(tmp_path / "bad", **bad) == Exit.QUARANTINE_ABOVE_LIMIT
    assert run(tmp_path / "bad", **bad, max_quarantined=1.0) == Exit.COMPLETE
    rows = {}
    for name in ("clean", "bad"):
        data = str(tmp_path / name)
        rows[name] = [r for s in read_manifest(data).shards for r in read_shard(data, s).to_pylist()]
    codes = [row["error"] and row["error"]["code"] for row in rows["bad"]]
    assert codes == ["image.missing", "image.empty", "image.truncated", None, None, None]
    assert rows["bad"][3:] == rows["clean"][3:]
    for row in rows["bad"][:3]:
        assert {e["status"] for ref in row["refs"] for e in ref["expressions"]} == {"quarantined"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"file_name": "a.jpg", ', "refcoco_val.jsonl:2: not valid JSON"),
        ('{"file_name": "a.jpg", "file_name": "b.jpg"}', "'file_name' occurs twice"),
        ('{"file_name": "a.jpg", "image_id": 1, "ann_id": 1, "sentences": []}', "refcoco_val.jsonl:2: anns"),
    ],
)
def test_malformed_lines_are_named(drawn: Path, tmp_path: Path, capsys, line: str, expected: str) -> None:
    folder = tmp_path / "reclip"
    shutil.copytree(drawn / "reclip", folder)
    good = (folder / "refcoco_val.jsonl").read_text().splitlines()
    (folder / "refcoco_val.jsonl").write_text("\n".join([good[0], line, *good[1:]]))
    arguments = ["--reclip", str(folder), "--images", str(drawn / "images"), "--out", str(tmp_path / "out")]
    status = run_job(PrepareOptions, prepare, [*arguments, "--executor", "inline"])
    assert status == Exit.BAD_INPUT
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pickle_with_code_is_refused_and_does_not_run(drawn: Path, tmp_path: Path, capsys) -> None:
    marker = tmp_path / "marker"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    folder = tmp_path / "refer" / "refcoco"
    shutil.copytree(drawn / "refer" / "refcoco", folder)
    (folder / "refs(unc).p").write_bytes(pickle.dumps([{"ref_id": Payload()}]))
    arguments = [
        "--refer",
        str(tmp_path / "refer"),
        "--images",
        str(drawn / "images"),
        "--out",
        str(tmp_path / "o"),
    ]
    assert run_job(PrepareOptions, prepare, [*arguments, "--executor", "inline"]) == Exit.BAD_INPUT
    message = capsys.readouterr().err
    assert "refs(unc).p" in message
    assert "open" in message
    assert not marker.exists()


def test_duplicate_expression_ids_are_listed(drawn: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "reclip"
    shutil.copytree(drawn / "reclip", folder)
    path = folder / "refcoco_val.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    arguments = ["--reclip", str(folder), "--images", str(drawn / "images"), "--out", str(tmp_path / "out")]
    assert run_job(PrepareOptions, prepare, [*arguments, "--executor", "inline"]) == Exit.BAD_INPUT
    assert "2 expression ids occur more than once: 0, 1" in capsys.readouterr().err


def write_parses(path: Path, texts: set[str]) -> None:
    """Write a flat parse of every text, without noun chunks."""
    records = []
    for text in sorted(texts):
        words = text.split()
        parse = {"parser": "flat", "tokens": words, "heads": [0] * len(words), "deps": [""] * len(words)}
        records.append(json.dumps({"text": text, "parse": parse | {"noun_chunks": []}}))
    path.write_text("\n".join(records))


def test_a_parse_file_reaches_shards_and_banks(drawn: Path, tmp_path: Path, capsys) -> None:
    common = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip")}
    run(tmp_path / "plain", **common)
    plain = read_manifest(str(tmp_path / "plain"))
    texts = {text.lower() for split in plain.splits for text in read_bank(str(tmp_path / "plain"), split)}
    left_out = min(texts)
    write_parses(tmp_path / "parses.jsonl", texts - {left_out})
    capsys.readouterr()
    run(tmp_path / "parsed", parses=str(tmp_path / "parses.jsonl"), **common)
    parsed = read_manifest(str(tmp_path / "parsed"))
    lacking = 0
    for split, before in zip(parsed.splits, plain.splits, strict=True):
        assert split.bank_digest != before.bank_digest
        bank = read_parsed_bank(str(tmp_path / "parsed"), split)
        assert [text for text, _ in bank] == read_bank(str(tmp_path / "plain"), before)
        for text, parse in bank:
            assert (parse and parse["tokens"]) == (None if text.lower() == left_out else text.lower().split())
            lacking += parse is None
    assert lacking
    rows = [row for s in parsed.shards for row in read_shard(str(tmp_path / "parsed"), s).to_pylist()]
    in_shards = [e for row in rows for ref in row["refs"] for e in ref["expressions"]]
    assert sum(e["parse"] is None for e in in_shards) == lacking
    assert all(e["parse"]["tokens"] == e["text"].lower().split() for e in in_shards if e["parse"])
    # A new parse keeps masks and features.
    assert [s.image_digest for s in parsed.shards] == [s.image_digest for s in plain.shards]
    total = len(in_shards)
    said = f"parses: {total - lacking} of {total} expressions; methods with R set the others aside"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parses", "nowhere.jsonl"], "--parses: nowhere.jsonl does not exist"),
        (["--parser", "en_no_such_pipeline"], "python -m spacy download en_no_such_pipeline"),
    ],
)
def test_a_parser_or_parse_file_that_is_missing(
    drawn: Path, tmp_path: Path, capsys, arguments: list[str], message: str
) -> None:
    common = ["--images", str(drawn / "images"), "--reclip", str(drawn / "reclip"), "--executor", "inline"]
    out = tmp_path / "out"
    assert run_job(PrepareOptions, prepare, [*common, "--out", str(out), *arguments]) == Exit.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not out.exists()


MIRRORED = {"refcoco": "refcoco_unc_", "refcocog": "refcocog_umd_"}


def write_mirror(drawn: Path, folder: Path) -> None:
    """Write the drawn set as `jxu124/refcoco-benchmark` lays RefCOCO out, in two files a split."""
    (folder / "data").mkdir(parents=True)
    for dataset, prefix in MIRRORED.items():
        for file in (drawn / "reclip").glob(f"{dataset}_*.jsonl"):
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            images: dict[int, list[dict]] = {}
            for line in lines:
                target = next(a for a in line["anns"] if a["id"] == line["ann_id"])
                outline = target["segmentation"] if isinstance(target["segmentation"], list) else []
                info = {k: v for k, v in line.items() if k != "anns"}
                item = {"ref_info": info, "ann_info": {**target, "segmentation": outline, "iscrowd": 0}}
                images.setdefault(line["image_id"], []).append(item)
            rows = []
            for image_id, items in images.items():
                name = f"COCO_train2014_{image_id:012d}.jpg"
                width, height = Image.open(drawn / "images" / name).size
                about = {"id": image_id, "file_name": name, "width": width, "height": height}
                picture = {"bytes": (drawn / "images" / name).read_bytes(), "path": name}
                rows.append({"ref_list": items, "image_info": about, "image": picture})
            split = {"testa": "testA"}.get(file.stem.split("_")[1], file.stem.split("_")[1])
            for part, some in enumerate((rows[:1], rows[1:])):
                table = pa.Table.from_pylist(some)
                pq.write_table(table, folder / "data" / f"{prefix}{split}-0000{part}-of-00002-a1.parquet")


def test_a_mirror_gives_the_shards_that_refer_gives(drawn: Path, tmp_path: Path, capsys) -> None:
    """With REFER's instances.json beside it; only the annotated size of pictures is told in addition."""
    write_mirror(drawn, tmp_path / "mirror")
    shutil.copy(drawn / "refer" / "refcoco" / "instances.json", tmp_path / "mirror")
    common = {"images": str(drawn / "images"), "detections": str(drawn / "reclip"), "images_per_shard": 2}
    assert run(tmp_path / "a", refer=str(drawn / "refer"), **common) == 0
    assert run(tmp_path / "b", mirror=str(tmp_path / "mirror"), **common) == 0
    first, second = files(tmp_path / "a"), files(tmp_path / "b")
    banks = {name for name in first if name.startswith("bank-")}
    assert banks <= second.keys()
    rows = [read_rows(tmp_path / name) for name in ("a", "b")]
    for before, after in zip(*rows, strict=True):
        same = ("image_key", "image_sha256", "regions", "proposal_sets", "status")
        assert all(before[field] == after[field] for field in same)
        wanted, found = (sorted(row["refs"], key=lambda ref: ref["ref_id"]) for row in (before, after))
        assert [ref["target_region_ids"] for ref in found] == [ref["target_region_ids"] for ref in wanted]


def test_a_mirror_alone_has_no_gold_proposals(drawn: Path, tmp_path: Path) -> None:
    """Proposing the targets alone would make every number too high."""
    write_mirror(drawn, tmp_path / "mirror")
    common = {"images": str(drawn / "images"), "detections": str(drawn / "reclip")}
    assert run(tmp_path / "shards", mirror=str(tmp_path / "mirror"), **common) == 0
    manifest = read_manifest(str(tmp_path / "shards"))
    assert manifest.proposal_sets == ["detections/refcoco", "detections/refcocog"]
    assert {split.name: split.expressions for split in manifest.splits}.keys() == {
        "refcoco/val",
        "refcoco/testA",
        "refcocog/val",
    }
    assert all(ref["target_region_ids"] for row in read_rows(tmp_path / "shards") for ref in row["refs"])


def test_a_mirror_of_another_layout_is_refused(drawn: Path, tmp_path: Path, capsys) -> None:
    write_mirror(drawn, tmp_path / "mirror")
    file = next((tmp_path / "mirror" / "data").glob("refcoco_unc_val-00000*"))
    pq.write_table(pa.table({"question": ["which?"]}), file)
    argv = ["--mirror", str(tmp_path / "mirror"), "--images", str(drawn / "images"), "--executor", "inline"]
    assert run_job(PrepareOptions, prepare, [*argv, "--out", str(tmp_path / "o")]) == Exit.BAD_INPUT
    assert f"{file}: not a Parquet file with ref_list and image_info" in capsys.readouterr().err


def read_rows(folder: Path) -> list[dict]:
    shards = read_manifest(str(folder)).shards
    return [row for shard in shards for row in read_shard(str(folder), shard).to_pylist()]
