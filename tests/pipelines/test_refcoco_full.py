"""refcoco_full: numbers against the oracle, independence of how the work is cut, resuming, exit statuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import oracle
import pytest

import infra.run.stages
import pipelines.refcoco_full
from infra.dataset.shards import read_manifest, read_shard
from infra.execution.settings import Settings
from infra.run.command_line import run_job
from infra.run.options import Exit
from operators.rows.records import valid_regions
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark, make_plan

METHODS = ("first-box", "P", "I", "P|I")
DRAWN_METHODS = ("first-box", "P", "I", "C1", "D4", "P|D4", "D1|D3|D4", "D1|D3|D4,S", "P|C1,S")
TOLERANCE = 1e-5
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Prepared shards of the drawn set, by images per shard."""
    folder = tmp_path_factory.mktemp("shards")

    def prepared(images_per_shard: int) -> str:
        out = folder / str(images_per_shard)
        if not out.exists():
            prepare(
                PrepareOptions(
                    images=str(drawn / "images"),
                    reclip=str(drawn / "reclip"),
                    out=str(out),
                    images_per_shard=images_per_shard,
                    executor="inline",
                )
            )
        return str(out)

    return prepared


def options(data: str, out: Path, encoders: tuple[str, ...], **other: object) -> BenchmarkOptions:
    return BenchmarkOptions(
        **{"data": data, "out": str(out), "encoders": encoders, "methods": METHODS, "executor": "inline"}
        | other
    )


def newest_run(out: Path) -> Path:
    return max((out / "runs").iterdir())


def tables(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((newest_run(out) / "tables").iterdir())}


def counts(out: Path) -> dict[str, int]:
    return json.loads((newest_run(out) / "run.json").read_text())["counts"]


def stored_probabilities(run_options: BenchmarkOptions) -> dict[tuple, dict[tuple, list[float]]]:
    """Read what the pipeline stored, by (method, encoders, proposals, seed)."""
    plan = make_plan(run_options)
    answers: dict[tuple, dict[tuple, list[float]]] = {}
    for product in plan.predictions:
        names = tuple(encoder.name for encoder in product.encoders)
        subtraction = product.method.subtraction
        seed = subtraction.seed if subtraction else 0
        answer = answers.setdefault((product.method.name, names, product.proposals, seed), {})
        for shard in plan.shards:
            for row in plan.store.get(plan.address(product, shard)).column("predictions").to_pylist():
                for p in row:
                    answer[p["dataset"], p["expression_id"]] = p["probabilities"]
    return answers


def largest_difference(
    annotations: Path, images: Path, run_options: BenchmarkOptions, clips: dict, sam: oracle.Sam | None = None
) -> float:
    """Compare every probability with the oracle's."""
    manifest = read_manifest(run_options.data)
    splits = [(s.dataset, s.split) for s in manifest.splits]
    worst, compared = 0.0, 0
    for (method, names, proposals, seed), stored in stored_probabilities(run_options).items():
        models = [clips[name] for name in names]
        expected = oracle.probabilities(
            annotations, images, splits, method, models, proposals, sam=sam, seed=seed
        )
        assert stored.keys() == expected.keys()
        for key, distribution in expected.items():
            if len(distribution) != len(stored[key]):
                return float("inf")
            worst = max(worst, float(np.abs(np.subtract(distribution, stored[key])).max()))
            compared += len(distribution)
    assert compared > 100
    return worst


@pytest.fixture(scope="module")
def clips(tiny_vit: str, tiny_resnet: str) -> dict[str, oracle.Clip]:
    return {Path(folder).name: oracle.Clip(folder) for folder in (tiny_vit, tiny_resnet)}


@pytest.mark.timeout(300)
def test_agrees_with_the_oracle(
    data, drawn: Path, tiny_vit, tiny_resnet, tiny_sam, clips, tmp_path: Path
) -> None:
    run_options = options(
        data(2),
        tmp_path,
        (tiny_vit, f"{tiny_vit},{tiny_resnet}"),
        methods=DRAWN_METHODS,
        segmenter=tiny_sam,
        seeds=(0, 7),
    )
    assert benchmark(run_options) == Exit.COMPLETE
    sam = oracle.Sam(tiny_sam)
    assert largest_difference(drawn / "reclip", drawn / "images", run_options, clips, sam) < TOLERANCE
    images = read_manifest(run_options.data).shards
    assert counts(tmp_path)["images segmented"] == sum(shard.images for shard in images)


def reverse_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates arrive in another order than the file's."""
    import operators.score.operator

    original = operators.score.operator.candidate_regions
    monkeypatch.setattr(operators.score.operator, "candidate_regions", lambda *a: original(*a)[::-1])


def swap_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of one drawing are stored as those of another."""
    import operators.encode.images

    original = operators.encode.images.EncodeWithClip.__call__

    def swapped(self, rows, wanted, load):
        parts = list(original(self, rows, wanted, load))
        yield from zip([p for p, _ in parts], [t for _, t in parts[::-1]], strict=True)

    monkeypatch.setattr(operators.encode.images.EncodeWithClip, "__call__", swapped)


def swap_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gold boxes are scored as detections and the other way round."""
    import operators.score.operator

    other = {"gold": "detections", "detections": "gold"}
    original = operators.score.operator.candidate_regions
    monkeypatch.setattr(
        operators.score.operator, "candidate_regions", lambda r, p, d: original(r, other[p], d)
    )


def reverse_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caption bank is read in another order than the file's."""
    original = infra.run.stages.read_bank
    monkeypatch.setattr(infra.run.stages, "read_bank", lambda *a: original(*a)[::-1])


@pytest.mark.parametrize("mutate", [reverse_regions, swap_variants, swap_proposals, reverse_banks])
def test_the_oracle_notices_a_wrong_order(
    mutate, data, drawn: Path, tiny_vit, clips, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    run_options = options(data(2), tmp_path, (tiny_vit,), methods=("P", "I"))
    try:
        benchmark(run_options)
    except ValueError as problem:
        assert mutate is reverse_banks  # the scorer itself refuses a bank that does not fit its expressions
        assert "caption bank" in str(problem)
        return
    assert largest_difference(drawn / "reclip", drawn / "images", run_options, clips) > 100 * TOLERANCE


def test_tables_do_not_depend_on_executor_actors_or_shard_size(
    data, tiny_vit, tiny_resnet, tmp_path: Path, ray_cluster: str
) -> None:
    encoders = (f"{tiny_vit},{tiny_resnet}",)
    ways = {
        "inline": options(data(2), tmp_path / "inline", encoders),
        "ray": options(data(2), tmp_path / "ray", encoders, executor="ray"),
        "two actors": options(data(2), tmp_path / "actors", encoders, executor="ray", actors=2),
        "other shards": options(data(5), tmp_path / "cut", encoders),
    }
    for way in ways.values():
        assert benchmark(way) == Exit.COMPLETE
    found = {name: tables(Path(way.out)) for name, way in ways.items()}
    assert found["inline"]["accuracy.md"].count(b"\n") == 2 + 8
    for name in ways:
        assert found[name] == found["inline"], name
    kinds = ("masks", "features", "texts", "predictions")
    first, second = (
        sorted(p for kind in kinds for p in (tmp_path / n / "artifacts" / kind).rglob("*.parquet"))
        for n in ("inline", "ray")
    )
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), ("cuda", "bfloat16")])
def test_auto_is_half_precision_where_models_run_on_a_gpu(
    device: str, dtype: str, data, tiny_vit, tiny_sam, tmp_path: Path, monkeypatch
) -> None:
    asked: list[str] = []

    def executor(name: str, settings: Settings) -> SimpleNamespace:
        asked.append(settings.device)
        return SimpleNamespace(settings=replace(settings, device=device))

    monkeypatch.setattr(pipelines.refcoco_full, "make_executor", executor)
    given = options(data(2), tmp_path, (tiny_vit,), methods=("D4",), segmenter=tiny_sam)
    (made, *_) = make_plan(given.model_copy(update={"dtype": "auto"})).predictions
    assert asked == ["auto"]
    assert {model.dtype for model in made.models} == {dtype} and len(made.models) == 2
    (plain, *_) = make_plan(given).predictions
    assert (plain.fingerprint == made.fingerprint) == (dtype == "float32")


def test_a_finished_run_imports_neither_ray_nor_torch(data, tiny_vit, tmp_path: Path, run_recipe) -> None:
    assert benchmark(options(data(2), tmp_path, (tiny_vit,))) == Exit.COMPLETE
    before = tables(tmp_path)
    flags = ["--data", data(2), "--out", str(tmp_path), "--methods", *METHODS, "--encoders", tiny_vit]
    code = (
        "import sys; from pipelines.refcoco_full import main; "
        f"status = main({flags!r}); "
        "print({m for m in ('ray', 'torch') if m in sys.modules}); sys.exit(status)"
    )
    finished = run_recipe("-c", code, timeout_s=30)
    assert finished.stdout.splitlines()[-1] == "set()"
    assert "computed in this run: nothing" in finished.stdout
    assert tables(tmp_path) == before
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_killed_and_rerun(data, tiny_vit, tmp_path: Path, run_recipe) -> None:
    undisturbed = options(data(1), tmp_path / "undisturbed", (tiny_vit,))
    assert benchmark(undisturbed) == Exit.COMPLETE
    out = tmp_path / "killed"
    flags = ["--data", data(1), "--out", str(out), "--methods", *METHODS, "--encoders", tiny_vit]
    command = [sys.executable, "pipelines/refcoco_full.py", *flags, "--executor", "inline"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while len(list(out.glob("artifacts/predictions/P-gold*/shard-*"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {p: (p.stat().st_mtime_ns, _sha256(p)) for p in out.rglob("*.parquet")}
    assert len(list(out.glob("artifacts/predictions/P-gold*/shard-*"))) < len(read_manifest(data(1)).shards)
    run_recipe(*command[1:])
    assert {p: (p.stat().st_mtime_ns, _sha256(p)) for p in finished} == finished
    assert tables(out) == tables(tmp_path / "undisturbed")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_ablation_sharing_artifacts_encodes_nothing_twice(data, tiny_vit, tmp_path: Path) -> None:
    shared = str(tmp_path / "artifacts")
    first = options(data(2), tmp_path / "a", (tiny_vit,), methods=("P",), artifacts=shared)
    second = options(data(2), tmp_path / "b", (tiny_vit,), methods=("P", "I", "P|I"), artifacts=shared)
    assert benchmark(first) == benchmark(second) == Exit.COMPLETE
    once = counts(tmp_path / "a")
    images = [row for s in read_manifest(first.data).shards for row in read_shard(first.data, s).to_pylist()]
    assert once["texts encoded"] > 0
    assert once["views encoded"] == sum(len(valid_regions(row)) for row in images) > len(images)
    # I alone, which shows all regions of an image the same.
    assert counts(tmp_path / "b")["views encoded"] == len(images)
    assert "texts encoded" not in counts(tmp_path / "b")
    third = options(data(2), tmp_path / "c", (tiny_vit,), methods=("P|I", "I"), artifacts=shared)
    assert benchmark(third) == Exit.COMPLETE
    assert counts(tmp_path / "c") == {}


def test_too_many_set_aside(data, drawn: Path, tiny_vit, tmp_path: Path) -> None:
    folder = tmp_path / "reclip"
    folder.mkdir()
    for path in (drawn / "reclip").iterdir():
        (folder / path.name).write_text(path.read_text().replace('"raw": "The red blob"', '"raw": "  "'))
    shards = str(tmp_path / "shards")
    common = {"images": str(drawn / "images"), "reclip": str(folder), "executor": "inline"}
    prepare(PrepareOptions(out=shards, **common))
    strict = options(shards, tmp_path / "out", (tiny_vit,), methods=("P",))
    assert benchmark(strict) == Exit.QUARANTINE_ABOVE_LIMIT
    assert benchmark(strict.model_copy(update={"max_quarantined": 0.5})) == Exit.COMPLETE
    record = json.loads((newest_run(tmp_path / "out") / "run.json").read_text())
    blank = sum(p.read_text().count('"raw": "  "') for p in folder.glob("*.jsonl"))
    assert blank > 0
    for entry in record["ledger"].values():
        assert entry["quarantined"] == blank
        assert entry["planned"] == entry["ok"] + blank


def test_a_deleted_part_is_incomplete_until_rerun(data, tiny_vit, tmp_path: Path, monkeypatch) -> None:
    run_options = options(data(2), tmp_path, (tiny_vit,), methods=("P",))
    assert benchmark(run_options) == Exit.COMPLETE
    before = tables(tmp_path)
    victim = next(tmp_path.glob("artifacts/predictions/*/shard-00001*"))
    victim.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(pipelines.refcoco_full, "make_missing", lambda plan, executor: None)
        assert benchmark(run_options) == Exit.INCOMPLETE
    assert benchmark(run_options) == Exit.COMPLETE
    assert tables(tmp_path) == before
    assert counts(tmp_path).keys() == {"expressions scored"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--methods", "Q7"], "unknown visual prompt 'Q7'"),
        (["--methods", "P|crap"], "drawing 2: unknown visual prompt 'crap'; nearest: crop"),
        (["--encoders", "ViT-B-33:openai"], "nearest: ViT-B-32"),
        (["--encoders", "ViT-B-32:/nowhere/weights.pt"], "/nowhere/weights.pt does not exist"),
        (["--proposals", "sam-grid"], "has no 'sam-grid' proposals"),
        (["--datasets", "refcoco+"], "--datasets refcoco+: not in"),
        (["--splits", "testB"], "--splits testB: not in"),
        (["--data", "/nowhere"], "/nowhere/manifest.json does not exist"),
    ],
)
def test_bad_options_end_with_2_before_anything_is_loaded(data, tiny_vit, tmp_path, capsys, flags, expected):
    command = [
        "--data",
        data(2),
        "--out",
        str(tmp_path),
        "--encoders",
        tiny_vit,
        "--executor",
        "inline",
        *flags,
    ]
    assert run_job(BenchmarkOptions, benchmark, command) == Exit.BAD_INPUT
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_plan_only_prints(data, tiny_vit, tmp_path: Path, capsys) -> None:
    run_options = options(data(2), tmp_path, (tiny_vit,), plan=True)
    assert benchmark(run_options) == Exit.COMPLETE
    printed = capsys.readouterr().out
    assert "6 in 3 shards" in printed
    assert "24 parts, 0 exist, 24 to make" in printed
    assert not list(tmp_path.iterdir())


def drop_a_parameter(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(path)
    state.pop("visual.proj")
    save_file(state, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_a_program(path: Path) -> None:
    import torch

    class Payload:
        def __reduce__(self):
            return (open, (str(path.with_name("marker")), "w"))

    torch.save({"visual.proj": Payload()}, path)


def widen(path: Path) -> None:
    config = path.with_name("open_clip_config.json")
    content = json.loads(config.read_text())
    content["model_cfg"]["vision_cfg"]["width"] = 96
    config.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (drop_a_parameter, "visual.proj"),
        (cut, "open_clip_model.safetensors"),
        (replace_by_a_program, "open_clip_model.safetensors"),
        (widen, "expected"),
    ],
)
def test_spoiled_weights_end_with_2_before_any_actor(
    data, tiny_vit, tmp_path, capsys, spoil, expected
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_vit, folder)
    spoil(folder / "open_clip_model.safetensors")
    command = [
        "--data",
        data(2),
        "--out",
        str(tmp_path / "out"),
        "--encoders",
        str(folder),
        "--executor",
        "ray",
    ]
    started_ray = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    assert run_job(BenchmarkOptions, benchmark, command) == Exit.BAD_INPUT
    message = capsys.readouterr().err
    assert expected in message
    assert "open_clip_model.safetensors" in message
    assert not (folder / "marker").exists()
    assert not list((tmp_path / "out").rglob("*.parquet"))
    assert ("ray" in sys.modules and sys.modules["ray"].is_initialized()) == started_ray


def test_masks_of_the_dataset_itself(drawn: Path, tiny_vit: str, tmp_path: Path) -> None:
    """Gold regions have the dataset's outlines; an expression with a candidate without one is set aside."""
    prepared = str(tmp_path / "shards")
    prepare(
        PrepareOptions(
            images=str(drawn / "images"),
            refer=str(drawn / "refer"),
            detections=str(drawn / "reclip"),
            out=prepared,
            executor="inline",
        )
    )
    manifest = read_manifest(prepared)
    assert manifest.exact_mask_sets == ["gold/refcoco", "gold/refcocog"]
    chosen = options(
        prepared,
        tmp_path / "out",
        (tiny_vit,),
        methods=("D4", "P"),
        masks="exact",
        proposals=("gold",),
        max_quarantined=1.0,
    )
    assert benchmark(chosen) == Exit.COMPLETE
    plan = make_plan(chosen)
    found: dict[str, dict[str, bool]] = {"D4": {}, "P": {}}
    whole: dict[str, bool] = {}
    for shard in plan.shards:
        rows = read_shard(prepared, shard).to_pylist()
        for product in plan.predictions:
            part = plan.store.get(plan.address(product, shard)).to_pylist()
            for row, predicted in zip(rows, part, strict=True):
                whole[row["image_key"]] = all(
                    region["exact_mask"] for region in row["regions"] if "gold/refcoco" in region["sources"]
                )
                for expression in predicted["predictions"]:
                    ok = found[product.method.name].setdefault(row["image_key"], expression["status"] == "ok")
                    assert ok == (expression["status"] == "ok")
    assert found["D4"] == whole and set(whole.values()) == {True, False}
    assert all(found["P"].values())
