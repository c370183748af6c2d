"""Shards that were spoiled after preparation, and names that nothing answers to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scenes import encoded, pixels, scene, write

import infra.run.stages
from infra.run.command_line import run_job
from infra.run.options import Exit
from operators.rows.records import IMAGE_ROW, image_digest, row_digest
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    sources = write(folder / "source", [scene(number) for number in range(4)])
    out = folder / "data"
    prepare(PrepareOptions(**sources, out=str(out), executor="inline", images_per_shard=2))
    return out


@pytest.fixture
def data(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "data"))


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a model is asked for."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(infra.run.stages, "local_file", refuse)


def run(data: Path, encoder: str, *flags: str) -> int:
    out = str(data.parent / "out")
    common = ["--data", str(data), "--out", out, "--executor", "inline", "--encoders", encoder]
    return run_job(BenchmarkOptions, benchmark, [*common, "--methods", "P", "--proposals", "gold", *flags])


def shard(data: Path, index: int = 1) -> Path:
    return next(data.glob(f"shard-{index:05d}-*"))


def edited_manifest(edit: Callable[[dict], None]) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        content = json.loads((data / "manifest.json").read_text())
        edit(content)
        (data / "manifest.json").write_text(json.dumps(content))

    return spoil


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda data: (data / name).write_bytes(content)  # type: ignore[return-value]


def removed(pattern: str) -> Callable[[Path], None]:
    return lambda data: next(data.glob(pattern)).unlink()


def again_under_another_name(manifest: dict) -> None:
    manifest["shards"].append({**manifest["shards"][0], "name": "shard-copy.parquet"})


BEFORE_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "shard missing": (removed("shard-00001-*"), "1 files of the manifest do not exist: shard-00001-"),
    "shard missing: caption bank": (
        removed("bank-*"),
        "1 files of the manifest do not exist: bank-refcoco-val",
    ),
    "shard listed twice": (
        edited_manifest(lambda m: m["shards"].append(m["shards"][0])),
        "lists shard-00000-",
    ),
    "shard listed twice: under two names": (
        edited_manifest(again_under_another_name),
        "lists shard number 0 ",
    ),
    "manifest missing": (removed("manifest.json"), "manifest.json does not exist; make it with"),
    "manifest malformed": (replaced("manifest.json", b'{"format": '), "manifest.json: "),
    "manifest of another version": (
        edited_manifest(lambda m: m.update(format="visual-prompt-bench/99")),
        "format 'visual-prompt-bench/99', this version reads",
    ),
}


@pytest.mark.parametrize("name", BEFORE_MODELS)
def test_found_before_a_model_is_loaded(name, data: Path, tiny_vit, no_model, capsys, matrix) -> None:
    spoil, expected = BEFORE_MODELS[name]
    spoil(data)
    status = run(data, tiny_vit)
    message = capsys.readouterr().err.replace(str(data), "")
    assert status == Exit.BAD_INPUT
    assert expected in message
    assert not (data.parent / "out").exists()
    matrix(name, f"exit {status}: {message.removeprefix('error: ').strip()[:60]}")


def rewritten(path: Path, change: Callable[[list[dict]], None]) -> None:
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=IMAGE_ROW), path)


def another_picture(rows: list[dict]) -> None:
    rows[0]["image"] = encoded(pixels(99))  # under the recorded hash of the first


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


CONTENT: dict[str, tuple[Callable[[Path], object], str]] = {
    "shard changed: another picture": (
        lambda p: rewritten(p, another_picture),
        "is not the picture that was",
    ),
    "shard changed: a row less": (lambda p: rewritten(p, list.pop), "is not the file that the manifest"),
    "shard changed: rows exchanged": (lambda p: rewritten(p, list.reverse), "is not the file that the manif"),
    "shard changed: bit flipped": (flipped, "is not a readable Parquet file"),
    "shard changed: cut": (lambda p: p.write_bytes(p.read_bytes()[:-100]), "is not a readable Parquet file"),
    "shard changed: zero bytes": (lambda p: p.write_bytes(b""), "is not a readable Parquet file"),
    "shard changed: no column": (
        lambda p: pq.write_table(pq.read_table(p).drop_columns(["refs"]), p),
        "does not have the columns of an image shard",
    ),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_that_is_not_what_was_prepared(name, data: Path, tiny_vit, capsys, matrix) -> None:
    spoil, expected = CONTENT[name]
    spoil(shard(data))
    status = run(data, tiny_vit)
    message = capsys.readouterr().err
    assert status == Exit.BAD_INPUT
    assert shard(data).name in message
    assert expected in message
    assert not list(data.parent.glob("out/artifacts/predictions/*/shard-00001-*"))
    matrix(name, f"exit {status}: the shard {expected}")


def test_an_empty_shard_counts_as_nothing(data: Path, tiny_vit, matrix) -> None:
    empty = pa.Table.from_pylist([], schema=IMAGE_ROW)
    entry = {"index": 2, "name": "shard-00002-none.parquet", "images": 0, "regions": 0}
    entry |= {"quarantined_images": 0, "expressions": {}}
    entry |= {"image_digest": image_digest(empty), "row_digest": row_digest(empty)}
    pq.write_table(empty, data / "shard-00002-none.parquet")
    edited_manifest(lambda manifest: manifest["shards"].append(entry))(data)
    assert run(data, tiny_vit) == Exit.COMPLETE
    (record,) = data.parent.glob("out/runs/*/run.json")
    (ledger,) = json.loads(record.read_text())["ledger"].values()
    assert ledger == {"planned": 16, "ok": 16, "quarantined": 0}
    matrix("shard empty", "accepted with count 0")


NAMES = {
    "unknown method": (["--methods", "frist-box"], "or the method first-box"),
    "unknown method: nothing like it": (["--methods", "%"], "unknown visual prompt '%'"),
    "unknown method: empty": (["--methods", ""], "column 1: expected a drawing, found the end"),
    "unknown method: post-processing": (["--methods", "P,T"], "unknown post-processing 'T'; known: S, R, RS"),
    "exact masks": (
        ["--methods", "D4", "--masks", "exact", "--proposals", "detections"],
        "not for detections/refcoco",
    ),
    "colour of a text": (["--methods", "D2(mask_color=text)"], "no features that could be stored"),
    "unknown prompt": (["--methods", "P|crap"], "drawing 2: unknown visual prompt 'crap'; nearest: crop"),
    "unknown prompt: nothing after |": (["--methods", "P|"], "column 3: expected a drawing, found the end"),
    "unknown encoder": (["--encoders", "ViT-B-33:openai"], "nearest: ViT-B-32"),
    "unknown encoder: tag": (["--encoders", "ViT-B-32:opnai"], "openai"),
    "unknown encoder: file": (["--encoders", "ViT-B-32:/nowhere/x.pt"], "/nowhere/x.pt does not exist"),
    "unknown encoder: folder": (["--encoders", "/nowhere"], "'/nowhere': write ARCHITECTURE:TAG"),
    "unknown encoder: file without an architecture": (
        ["--encoders", "/nowhere/x.safetensors"],
        "x.safetensors': write ARCHITECTURE:TAG",
    ),
    "unknown encoder: misspelled bundled": (["--encoders", "clip-shape"], "nearest: clip-shapes"),
    "no place for results": (["--out", "/proc/version"], "/proc/version"),
    "no GPU": (["--device", "cuda"], "torch sees no GPU here"),
    "unknown segmenter": (["--methods", "D4", "--segmenter", "vit_bb:published"], "vit_b"),
    "unknown split": (["--splits", "testC"], "--splits testC: not in"),
    "unknown split: not prepared": (["--splits", "testB"], "--splits testB: not in"),
    "unknown dataset": (["--datasets", "refcoc"], "refcoco"),
    "unknown dataset: not prepared": (["--datasets", "refcoco+"], "--datasets refcoco+: not in"),
    "unknown proposals": (
        ["--proposals", "sam-grid"],
        "has no 'sam-grid' proposals for refcoco; it has: det",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str, data: Path, tiny_vit, no_model, capsys, matrix, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags, expected = NAMES[name]
    status = run(data, tiny_vit, *flags)
    assert status == Exit.BAD_INPUT
    assert expected in capsys.readouterr().err
    assert not (data.parent / "out").exists()
    matrix(name, f"exit {status}: {expected}")
