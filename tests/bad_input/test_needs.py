"""What a run lacks is refused before a model is looked for, or said in the plan where it lacks in part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infra.dataset.shards import read_bank, read_manifest
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark

NO_MODEL = "ViT-B-32:/nowhere/model.safetensors"


def prepared(drawn: Path, out: Path, **options: object) -> str:
    where = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip"), "executor": "inline"}
    prepare(PrepareOptions(out=str(out), **{**where, **options}))
    return str(out)


def run(data: str, tmp_path: Path, *flags: str, encoder: str = NO_MODEL) -> int:
    argv = ["--data", data, "--out", str(tmp_path / "out"), "--executor", "inline", "--encoders", encoder]
    return run_job(BenchmarkOptions, benchmark, [*argv, *flags])


def test_relations_without_parses(drawn: Path, tmp_path: Path, capsys) -> None:
    data = prepared(drawn, tmp_path / "shards")
    assert run(data, tmp_path, "--methods", "P", "P,R") == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert "method 'P,R' needs parses for R, and no expression of refcoco/val in" in said
    assert "prepare again with --parser en_core_web_sm or --parses FILE" in said


def test_some_parses_are_told_in_the_plan(drawn: Path, tmp_path: Path, capsys, tiny_vit: str) -> None:
    data = prepared(drawn, tmp_path / "plain")
    manifest = read_manifest(data)
    texts = sorted({text.lower() for split in manifest.splits for text in read_bank(data, split)})
    lines = []
    for text in texts[1:]:
        words = text.split()
        parse = {"parser": "p", "tokens": words, "heads": [0] * len(words), "deps": [""] * len(words)}
        lines.append(json.dumps({"text": text, "parse": {**parse, "noun_chunks": []}}))
    (tmp_path / "parses.jsonl").write_text("\n".join(lines))
    data = prepared(drawn, tmp_path / "parsed", parses=str(tmp_path / "parses.jsonl"))
    capsys.readouterr()
    run(data, tmp_path, "--methods", "P,R", "--proposals", "gold", encoder=tiny_vit)
    said = capsys.readouterr().out
    assert "expressions have no parse; methods with R set them aside" in said
    assert "set aside: " in said and "parse.missing, such as refcoco/" in said
    (record,) = (json.loads(p.read_text()) for p in (tmp_path / "out").glob("runs/*/run.json"))
    (reasons,) = [entry["reasons"] for entry in record["ledger"].values()]
    assert [reason["code"] for reason in reasons] == ["parse.missing"]
    assert reasons[0]["count"] == sum(s.expressions - s.parsed for s in read_manifest(data).splits) > 0
    assert {met["what"] for met in record["joins"]} >= {"parses", "pictures", "detections/refcoco"}
    assert "GELU" in next(iter(record["encoders"].values())) and record["notes"]


def test_masks_of_its_own_that_no_set_has(drawn: Path, tmp_path: Path, capsys) -> None:
    source = tmp_path / "source"
    shutil.copytree(drawn, source)
    for file in (source / "reclip").glob("*.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["anns"] = [{**annotation, "segmentation": [[1, 2, 3, 4]]} for annotation in line["anns"]]
        file.write_text("\n".join(map(json.dumps, lines)))
    data = prepared(source, tmp_path / "shards")
    flags = ["--methods", "D4", "--masks", "exact", "--proposals", "gold"]
    assert run(data, tmp_path, *flags) == Exit.BAD_INPUT
    assert "has masks of the dataset's own for nothing" in capsys.readouterr().err


def test_masks_that_some_boxes_lack_are_told_in_the_plan(
    drawn: Path, tmp_path: Path, capsys, tiny_vit
) -> None:
    data = prepared(drawn, tmp_path / "shards")
    flags = ["--methods", "D4", "--masks", "exact", "--proposals", "gold", "--plan"]
    assert run(data, tmp_path, *flags, encoder=tiny_vit) == Exit.COMPLETE
    assert "boxes of gold/refcoco have no mask of their own" in capsys.readouterr().out


def test_data_of_which_everything_was_set_aside(drawn: Path, tmp_path: Path, capsys) -> None:
    source = tmp_path / "source"
    shutil.copytree(drawn, source)
    for file in (source / "images").iterdir():
        file.write_bytes(b"")
    data = prepared(source, tmp_path / "shards")
    said = capsys.readouterr().out
    assert "set aside: 6 images, image.empty, such as coco/train2014/1000: the file has no bytes" in said
    assert run(data, tmp_path, "--methods", "first-box") == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert "every expression of refcoco/val" in said and "was set aside when preparing" in said


def test_manifests_of_older_versions_are_read(drawn: Path, tmp_path: Path, capsys) -> None:
    data = prepared(drawn, tmp_path / "shards")
    url = storage.join(data, "manifest.json")
    content = json.loads(storage.read_bytes(url))
    for name in ("sets", "joins", "reasons"):
        del content[name]
    for split in content["splits"]:
        del split["parsed"], split["set_aside"]
    storage.write_bytes(url, json.dumps(content).encode())
    assert run(data, tmp_path, "--methods", "first-box") == Exit.COMPLETE
    assert run(data, tmp_path, "--methods", "P,R") == Exit.BAD_INPUT
    assert "needs parses for R" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [("", "GELU"), ("-quickgelu", "QuickGELU"), ("-gelu", "GELU")],
)
def test_the_plan_says_how_an_encoder_sees_and_what_decided_it(
    drawn: Path, tmp_path: Path, capsys, name: str, told: str
) -> None:
    import open_clip
    import torch

    file = tmp_path / "bare.pt"
    with torch.device("meta"):
        state = open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")).state_dict()
    torch.save({n: torch.zeros(1 if v.dim() else ()).expand(v.shape) for n, v in state.items()}, file)
    data = prepared(drawn, tmp_path / "shards")
    capsys.readouterr()
    flags = ["--methods", "P", "--proposals", "gold", "--plan"]
    assert run(data, tmp_path, *flags, encoder=f"ViT-B-32{name}:{file}") == Exit.COMPLETE
    said = " ".join(capsys.readouterr().out.split())
    decided = "as its name says" if name else "assumed: nothing says how it was trained"
    assert f"encoder ViT-B-32 {told}, CLIP's mean and std, bicubic, float32 ({decided})" in said
    asked = f"write ViT-B-32-quickgelu:{file}, else ViT-B-32-gelu:{file} rules that out"
    assert (asked in said) == (not name)
