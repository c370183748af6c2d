"""A job on a cluster that grows from no GPU node to three and back, under Ray's own autoscaler.

The nodes are fake (Ray's own kind for tests), the autoscaler, the pools and the job are the real ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fake_autoscaler
import timeline
from job_on_fake_gpus import note_the_cluster

from infra.dataset.scenes import prepare_scenes
from infra.run.options import Exit
from pipelines.refcoco_full import BenchmarkOptions, run_benchmark

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "build" / "clusters"
MOST_GPUS = 3
METHODS = ("P", "D4")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes in shards of two."""
    folder = tmp_path_factory.mktemp("scenes")
    prepare_scenes(str(folder), scenes=12, seed=5, images_per_shard=2)
    return folder


@pytest.fixture(scope="module")
def reference(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Tables of the same job in one process."""
    options = BenchmarkOptions(
        data=str(scenes),
        out=str(tmp_path_factory.mktemp("reference")),
        methods=METHODS,
        encoders=("clip-shapes",),
        segmenter="sam-shapes",
        threads=1,
        executor="inline",
    )
    status, folder = run_benchmark(options)
    assert status == Exit.COMPLETE and folder is not None
    return tables(Path(folder))


def tables(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "tables").iterdir()}


class Job:
    """The job on the fake cluster, started."""

    def __init__(self, scenes: Path, folder: Path, environment: dict[str, str]) -> None:
        self.out, self.log, self.lines = folder / "out", folder / "log", folder / "lines"
        command = [str(HERE / "job_on_fake_gpus.py"), str(self.lines), str(self.out / "artifacts")]
        command += ["--data", str(scenes), "--out", str(self.out), "--methods", *METHODS]
        command += ["--encoders", "clip-shapes", "--segmenter", "sam-shapes", "--threads", "1"]
        command += ["--shared-filesystem", "--max-gpus", str(MOST_GPUS)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=environment
            )

    def wait_for_parts(self, kind: str, count: int) -> None:
        """Return once so many parts of a kind were written."""
        while len(list((self.out / "artifacts").glob(f"{kind}/*/*"))) < count:
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)

    def finish(self) -> str:
        """Wait for the end and return what was printed."""
        self.process.wait()
        said = self.log.read_text()
        assert self.process.returncode == 0, said[-4000:]
        return said

    def run(self) -> Path:
        return max((self.out / "runs").iterdir())

    def moments(self, title: str, name: str) -> list[timeline.Moment]:
        """Return the timeline, and draw it."""
        found = timeline.read(self.lines)
        found = [moment._replace(seconds=moment.seconds - found[0].seconds) for moment in found]
        timeline.draw(found, title, PICTURES / f"{name}.png")
        return found


@pytest.fixture
def start(scenes: Path, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Return what starts the cluster and the job on it; everything ends with the test."""
    if not fake_autoscaler.port_is_free():
        pytest.skip(f"port {fake_autoscaler.PORT}, which Ray's fake nodes ask for their head at, is taken")
    # Ray's sockets need short paths.
    folder = Path("/tmp") / f"vpb-{os.getpid()}"
    folder.mkdir()
    clusters = []

    def begin(**settings: object) -> Job:
        cluster = fake_autoscaler.running(folder, workers=MOST_GPUS, **settings)
        clusters.append(cluster)
        return Job(scenes, tmp_path, cluster.__enter__())

    try:
        yield begin
    finally:
        for cluster in clusters:
            cluster.__exit__(None, None, None)
        shutil.rmtree(folder, ignore_errors=True)


def fake_nodes() -> list[int]:
    """Return the process numbers of the raylets that claim a GPU."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0].endswith("raylet") and any("GPU,1" in word for word in words):
            found.append(int(folder.name))
    return found


@pytest.mark.timeout(240)
def test_from_none_to_three_gpu_nodes_and_back(start, reference: dict[str, bytes]) -> None:
    job = start(idle_minutes=0.15)
    said = job.finish()
    note_the_cluster(job.lines, job.out / "artifacts", until_nodes=1)
    assert (
        "cuda (auto, 2 CPUs and 0 GPUs alive on 1 nodes); model actors of a stage: 0 now, 3 at most" in said
    )
    assert tables(job.run()) == reference
    moments = job.moments("no GPU node, three, none", "grow-and-shrink")
    assert moments[0].nodes == moments[-1].nodes == 1
    assert max(moment.nodes for moment in moments) == 1 + MOST_GPUS


@pytest.mark.clusters
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("kind", "count"), [("masks", 2), ("features", 4), ("predictions", 4)])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["notice", "no notice"])
def test_a_node_that_is_taken_away_costs_time_only(start, reference, kind: str, count: int, how) -> None:
    job = start()
    job.wait_for_parts(kind, count)
    os.kill(fake_nodes()[0], how)
    job.finish()
    assert tables(job.run()) == reference
    job.moments(f"one node taken away while {kind} are made", f"one-node-{kind}-{how.name}")


@pytest.mark.clusters
@pytest.mark.timeout(500)
def test_all_nodes_taken_away_and_none_back_for_a_while(
    start, reference: dict[str, bytes], monkeypatch
) -> None:
    # The autoscaler counts dead nodes as its own for so long, and starts no others.
    monkeypatch.setenv("AUTOSCALER_HEARTBEAT_TIMEOUT_S", "120")
    job = start()
    job.wait_for_parts("features", 4)
    killed_s = time.monotonic()
    for process in fake_nodes():
        os.kill(process, signal.SIGKILL)
    said = job.finish()
    assert "did not come back; once more" in said
    assert tables(job.run()) == reference
    job.moments("all nodes taken away, none back for two minutes", "all-nodes")
    print(f"finished {time.monotonic() - killed_s:.0f} s after the last node was taken away")
