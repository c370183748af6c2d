"""Preparing, running and reporting wholly on s3://, as on local folders, with no trace of credentials."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dataset
import pytest
import s3_server
import tenacity
from s3_server import BUCKET, CANARIES, S3, forget_connections

from infra.files import storage_retries
from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.propose_grid import GridOptions, propose_grid
from pipelines.refcoco_full import BenchmarkOptions, benchmark

METHODS = ("first-box", "P", "P|D4,S")
FLAGS = ("--proposals", "gold", "--methods", *METHODS)
ROOT = Path(__file__).resolve().parents[2]
ANNOTATIONS = {"drawn": "reclip", "photos": "."}


@pytest.fixture(scope="module")
def models(s3: S3, tiny_vit: str, tiny_sam: str) -> list[str]:
    """The flags of models that lie on S3."""
    encoder, segmenter = (s3.upload(folder, f"models/{Path(folder).name}") for folder in (tiny_vit, tiny_sam))
    return ["--encoders", encoder, "--segmenter", segmenter]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, tiny_vit: str, tiny_sam: str) -> Callable[..., Path]:
    """A folder with shards/ and out/ of a dataset, made on local folders."""
    made: dict[str, Path] = {}

    def local(name: str, source: Path) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(f"local-{name}")
            models = ["--encoders", tiny_vit, "--segmenter", tiny_sam]
            prepare_and_run(str(source), str(made[name]), ANNOTATIONS[name], models)
        return made[name]

    return local


@pytest.fixture(scope="module")
def shards(s3: S3, local: Callable[..., Path], drawn: Path) -> str:
    """Shards of the drawn set, on S3."""
    return s3.upload(local("drawn", drawn) / "shards", "uploaded/shards")


def prepare_and_run(
    source: str, home: str, annotations: str, models: list[str], executor: str = "inline"
) -> None:
    inputs = ["--images", f"{source}/images", "--reclip", f"{source}/{annotations}".removesuffix("/.")]
    argv = [*inputs, "--out", f"{home}/shards", "--images-per-shard", "3", "--executor", executor]
    assert run_job(PrepareOptions, prepare, argv) == Exit.COMPLETE
    run(f"{home}/shards", f"{home}/out", models, executor)


def run(data: str, out: str, models: list[str], executor: str = "inline") -> None:
    argv = ["--data", data, "--out", out, "--executor", executor, *models, *FLAGS]
    assert run_job(BenchmarkOptions, benchmark, argv) == Exit.COMPLETE


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def below(objects: dict[str, bytes], part: str) -> dict[str, bytes]:
    """Return the objects below a part of a path, by the rest of the path."""
    return {key.split(part, 1)[1]: data for key, data in objects.items() if part in key}


def newest_run(objects: dict[str, bytes]) -> dict[str, bytes]:
    runs = below(objects, "out/runs/")
    latest = max(name.split("/")[0] for name in runs)
    return below(runs, f"{latest}/")


def tables(objects: dict[str, bytes]) -> dict[str, bytes]:
    found = below(newest_run(objects), "tables/")
    assert {"accuracy.csv", "accuracy.md"} <= found.keys()
    return found


def without_probes(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in objects.items() if not name.endswith(".writable")}


def assert_no_canary(*where: str | bytes) -> None:
    assert where
    for text in where:
        data = text if isinstance(text, bytes) else text.encode()
        assert not any(canary.encode() in data for canary in CANARIES)


@pytest.mark.parametrize(("name", "executor"), [("drawn", "inline"), ("photos", "ray")])
def test_everything_on_s3(
    name: str, executor: str, s3: S3, models, local, request: pytest.FixtureRequest, capfd
) -> None:
    if executor == "ray":
        request.getfixturevalue("ray_cluster")
    source: Path = request.getfixturevalue(name)
    expected = files(local(name, source))
    home = f"{name}-{executor}"
    prepare_and_run(
        s3.upload(source, f"{home}/source"), f"{s3.url}/{home}", ANNOTATIONS[name], models, executor
    )
    found = s3.objects(home)
    assert without_probes(below(found, f"{home}/shards/")) == below(expected, "shards/")
    assert without_probes(below(found, "out/artifacts/")).keys() == below(expected, "out/artifacts/").keys()
    assert tables(found) == tables(expected)

    run(f"{s3.url}/{home}/shards", f"{s3.url}/{home}/out", models, executor)
    again = s3.objects(home)
    assert json.loads(newest_run(again)["run.json"])["counts"] == {}
    assert tables(again) == tables(expected)
    assert below(again, "out/artifacts/") == below(found, "out/artifacts/")
    assert_no_canary(*capfd.readouterr(), *s3.objects().values())


def test_a_submitted_job_knows_no_credentials(
    ray_cluster, s3: S3, shards: str, models, local, drawn: Path
) -> None:
    """They are in the environment of the machines; output, logs and the job's metadata have none."""
    from ray._private.worker import global_worker
    from ray.job_submission import JobSubmissionClient

    submit = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--working-dir", "."]
    recipe = [
        "--",
        sys.executable,
        "pipelines/refcoco_full.py",
        "--data",
        shards,
        "--out",
        f"{s3.url}/job/out",
    ]
    command = [*submit, "--address", ray_cluster.dashboard_url, *recipe, *models, *FLAGS]
    finished = subprocess.run(
        command, cwd=ROOT, env=ray_cluster.environment, capture_output=True, text=True, timeout=110
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert tables(s3.objects("job")) == tables(files(local("drawn", drawn)))
    jobs = JobSubmissionClient(ray_cluster.dashboard_url).list_jobs()
    assert any(f"{s3.url}/job/out" in str(job) for job in jobs)
    logs = [path.read_bytes() for path in Path(global_worker.node.get_logs_dir_path()).rglob("*.*")]
    assert any(b"refcoco_full.py" in log for log in logs)
    assert_no_canary(finished.stdout, finished.stderr, *map(str, jobs), *logs, *s3.objects("job").values())


def test_two_jobs_at_once(s3: S3, shards: str, models, local, drawn: Path) -> None:
    """Both make the same parts; neither harms the other."""
    home = f"{s3.url}/both"
    shared = [*models, "--artifacts", f"{home}/artifacts"]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, shards, f"{home}/{i}/out", shared) for i in range(2)]
        for job in jobs:
            job.result()
    expected = files(local("drawn", drawn))
    for i in range(2):
        assert tables(s3.objects(f"both/{i}")) == tables(expected)
    parts = without_probes(below(s3.objects("both"), "both/artifacts/"))
    assert parts.keys() == below(expected, "out/artifacts/").keys()


def test_a_store_with_many_faults(s3: S3, shards: str, models, local, drawn: Path, monkeypatch) -> None:
    """One request in five fails; the table is the same."""
    monkeypatch.setattr(storage_retries, "wait_random_exponential", lambda **_: tenacity.wait_none())
    chance = random.Random(0)
    weights = {None: 80, "SlowDown": 10, "reset": 5, "cut": 3, "lost": 2}
    with s3_server.proxy_before(s3) as proxy:
        proxy.fault = lambda *_: chance.choices(list(weights), weights.values())[0]
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_connections()
        run(shards, f"{s3.url}/faults/out", models)
        forget_connections()
        assert len(proxy.requests) > 50
    assert tables(s3.objects("faults")) == tables(files(local("drawn", drawn)))


def test_grid_proposals_on_s3(s3: S3, models, tmp_path: Path, tiny_sam: str) -> None:
    source = dataset.write(tmp_path / "drawn", images=2)
    inputs = {"images": str(source / "images"), "reclip": str(source / "reclip"), "executor": "inline"}
    for home, segmenter in ((f"{s3.url}/grid", models[3]), (str(tmp_path), tiny_sam)):
        assert prepare(PrepareOptions(**inputs, out=f"{home}/shards")) == Exit.COMPLETE
        folders = {"data": f"{home}/shards", "out": f"{home}/proposed"}
        assert propose_grid(GridOptions(**folders, segmenter=segmenter, executor="inline")) == Exit.COMPLETE
    found = without_probes(below(s3.objects("grid"), "grid/proposed/"))
    assert found == files(tmp_path / "proposed")


def test_refused_before_any_work(s3: S3, shards: str, models, monkeypatch, capfd) -> None:
    argv = ["--data", shards, "--executor", "inline", *models, *FLAGS]
    assert run_job(BenchmarkOptions, benchmark, [*argv, "--out", "s3://absent-bucket/out"]) == Exit.BAD_INPUT
    assert "error: s3://absent-bucket/out/artifacts" in (said := capfd.readouterr().err)
    assert "there is no such bucket; create it" in said
    with s3_server.proxy_before(s3) as proxy:
        proxy.fault = lambda method, path: "AccessDenied" if method == "PUT" else None
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_connections()
        assert (
            run_job(BenchmarkOptions, benchmark, [*argv, "--out", f"{s3.url}/refused/out"]) == Exit.BAD_INPUT
        )
        assert "access denied (AccessDenied" in capfd.readouterr().err
        proxy.fault = lambda method, path: "SlowDown"
        monkeypatch.setattr(storage_retries, "wait_random_exponential", lambda **_: tenacity.wait_none())
        assert (
            run_job(BenchmarkOptions, benchmark, [*argv, "--out", f"{s3.url}/refused/out"]) == Exit.INCOMPLETE
        )
        said = capfd.readouterr().err
        forget_connections()
    assert f"error: {shards}/manifest.json: still failing after 8 attempts" in said
    assert "the same command goes on from here" in said
    assert s3.objects("refused") == {}


SECRET = CANARIES[1]
ADDRESSES = [
    f"s3://{CANARIES[0]}:{SECRET}@{BUCKET}/x",
    f"https://user:{SECRET.replace('/', '')}@example.org/x.safetensors",
    "https://ghp_CANARY@example.org/x.safetensors",
    f"https://example.org/x.safetensors?X-Amz-Algorithm=A&X-Amz-Signature={SECRET}",
    f"https://example.blob.core.windows.net/x.pt?sv=2024&sig={SECRET}",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_with_credentials_are_refused(address: str, tmp_path: Path, capfd) -> None:
    """On the command line and in a file, in every option; the message does not repeat them."""
    plain = {"data": "d", "out": str(tmp_path / "out"), "executor": "inline"}
    for option, value in (
        ("data", address),
        ("out", address),
        ("artifacts", address),
        ("encoders", f"ViT-B-32:{address}"),
        ("segmenter", f"vit_b:{address}"),
        ("config", address),
    ):
        flags = [part for name, text in ({**plain, option: value}).items() for part in (f"--{name}", text)]
        assert run_job(BenchmarkOptions, benchmark, flags) == Exit.BAD_INPUT
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps({**plain, option: [value] if option == "encoders" else value}))
        if option != "config":
            assert run_job(BenchmarkOptions, benchmark, ["--config", str(file)]) == Exit.BAD_INPUT
        printed = capfd.readouterr()
        assert "no credentials in addresses; give this machine an instance role" in printed.err
        assert_no_canary(*printed)
        assert "CANARY" not in printed.err + printed.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/a:b@c/x",
        "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/name/x",
        "https://example.org:8080/models@main/x.pt?download=true",
        "abfs://container@account.dfs.core.windows.net/x",
        "/data/2024:05/x@y?key=1",
        "P|D4,S",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert BenchmarkOptions(data="d", out="o", methods=(address.removesuffix("?key=1"),))
