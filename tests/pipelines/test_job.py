"""`ray job submit` against a running head: code reaches the workers, statuses and refusals are clear."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.exceptions import AuthenticationError

from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark
from pipelines.submit import main as submit_main

ROOT = Path(__file__).resolve().parents[2]
MAX_PACKAGE_BYTES = 20 * 2**20
SUBMIT = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--working-dir", "."]


@pytest.fixture(scope="module")
def shards(drawn: Path, tmp_path_factory) -> str:
    out = str(tmp_path_factory.mktemp("job") / "shards")
    common = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip"), "executor": "inline"}
    prepare(PrepareOptions(out=out, images_per_shard=3, **common))
    return out


def submit(cluster, *flags: str) -> subprocess.CompletedProcess[str]:
    recipe = [sys.executable, "pipelines/refcoco_full.py", *flags]
    command = [*SUBMIT, "--address", cluster.dashboard_url, "--", *recipe]
    environment = cluster.environment
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)


def test_submit_says_what_goes_and_ends_with_the_status_of_the_job(ray_cluster) -> None:
    script = "import os, sys; print('region', os.environ['AWS_REGION'], os.environ['MINE']); sys.exit(3)"
    command = [sys.executable, "pipelines/submit.py", "--address", ray_cluster.dashboard_url]
    command += ["--env", "MINE", "--", sys.executable, "-c", script]
    environment = ray_cluster.environment | {"AWS_REGION": "eu-west-9", "MINE": "7"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)
    assert finished.returncode == 3, finished.stdout + finished.stderr
    first, *_, last = finished.stdout.splitlines()
    assert re.fullmatch(r"working directory .*: \d+ files, \d+\.\d MiB before compression .*", first)
    assert "region eu-west-9 7" in finished.stdout
    assert last == "exit 3 (quarantine above limit)"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--most-mib", "0.1", "--", "x"],
            "MiB are more than --most-mib 0.1; name data, results",
        ),
        (["--env", "NO_SUCH_VARIABLE", "--", "x"], "--env NO_SUCH_VARIABLE: this shell has no such variable"),
        (["--address", "http://127.0.0.1:9", "--", "x"], "http://127.0.0.1:9: no cluster answers there"),
        (["--address", "http://127.0.0.1:9"], "the job's command is missing; it follows after --"),
    ],
)
def test_submit_refuses(arguments: list[str], expected: str, capsys) -> None:
    assert submit_main(arguments) == Exit.BAD_INPUT
    assert expected in capsys.readouterr().err


def test_submit_without_the_token_of_the_cluster(monkeypatch, capsys) -> None:
    def refuse(address: str) -> None:
        raise AuthenticationError("Unauthorized: Missing authentication token")

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", refuse)
    assert submit_main(["--address", "http://head:8265", "--", "x"]) == Exit.BAD_INPUT
    assert "export RAY_AUTH_MODE=token, with the token in ~/.ray/auth_token" in capsys.readouterr().err


def last_line_of_the_job(finished: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in finished.stdout.splitlines() if line.startswith("exit ")]
    return lines[-1] if lines else finished.stdout


def test_a_job_runs_on_the_workers_and_succeeds(ray_cluster, shards, tiny_vit, tiny_sam, tmp_path) -> None:
    models = ["--encoders", tiny_vit, "--segmenter", tiny_sam, "--methods", "P", "D4"]
    finished = submit(ray_cluster, "--data", shards, "--out", str(tmp_path), *models, "--shared-filesystem")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "succeeded" in finished.stdout
    assert last_line_of_the_job(finished) == "exit 0 (complete)"
    (record,) = tmp_path.glob("runs/*/run.json")
    assert json.loads(record.read_text())["exit"] == 0


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--out", "results"], "--out results: a relative path inside a job"),
        (["--out", "/tmp/results"], "--out /tmp/results: a local path inside a job"),
    ],
)
def test_paths_that_would_be_lost_are_refused(ray_cluster, shards, tiny_vit, flags, expected: str) -> None:
    data = ["--data", "s3://bucket/shards", "--encoders", "ViT-B-32:openai"]
    finished = submit(ray_cluster, *data, *flags)
    assert finished.returncode == 1  # Ray's own status for every failure
    assert expected in finished.stdout
    assert last_line_of_the_job(finished) == "exit 2 (bad input)"


def test_the_package_is_small() -> None:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    total_bytes = sum((ROOT / name).stat().st_size for name in names if name and (ROOT / name).is_file())
    assert total_bytes < MAX_PACKAGE_BYTES


def test_two_pools_that_cannot_fit_end_at_once(
    ray_cluster, shards, tiny_vit, tiny_sam, tmp_path, capsys
) -> None:
    models = ["--encoders", tiny_vit, "--segmenter", tiny_sam, "--methods", "D4", "--device", "cuda"]
    started_s = time.monotonic()
    status = run_job(BenchmarkOptions, benchmark, ["--data", shards, "--out", str(tmp_path), *models])
    assert status == Exit.BAD_INPUT
    assert time.monotonic() - started_s < 10
    message = capsys.readouterr().err
    assert "SegmentWithSam 1 x (0.25 CPU + 0.5 GPU), EncodeWithClip 1 x (0.25 CPU + 0.5 GPU)" in message
    assert "the cluster has 2 CPUs and 0 GPUs: 1 GPUs missing" in message


def test_the_full_graph_runs_on_two_cpus(ray_cluster, shards, tiny_vit, tiny_sam, tmp_path: Path) -> None:
    options = BenchmarkOptions(
        data=shards,
        out=str(tmp_path),
        encoders=(tiny_vit,),
        segmenter=tiny_sam,
        methods=("P|D4,S",),
        actors=3,
    )
    assert benchmark(options) == Exit.COMPLETE
