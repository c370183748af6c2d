"""A Ray head with Ray's own autoscaler and nodes that only claim to have a GPU, for the length of a block.

Ray's `AutoscalingCluster` cannot be used from the wheel (a file is missing, and it stops every Ray of the
machine), so the cluster file is written here. The fake nodes look for their head at port 6379.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 6379
HEAD_CPUS = 2
START_TIMEOUT_S = 60
OBJECT_STORE_BYTES = 100_000_000


def port_is_free() -> bool:
    """Say whether the one port that the fake nodes know can be had."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) != 0


def cluster_file(folder: Path, workers: int, idle_minutes: float) -> Path:
    """Write the file of a cluster with 0 to `workers` nodes of 8 CPUs and 1 GPU each."""
    lists = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    lists += ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files")
    lists += ("rsync_exclude", "rsync_filter")
    gpu_node = {"CPU": 8, "GPU": 1, "object_store_memory": OBJECT_STORE_BYTES}
    content = {
        "cluster_name": "fake",
        "max_workers": workers,
        "idle_timeout_minutes": idle_minutes,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": HEAD_CPUS}, "node_config": {}, "max_workers": 0},
            "gpu": {"resources": gpu_node, "node_config": {}, "min_workers": 0, "max_workers": workers},
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in lists},
    }
    file = folder / "cluster.json"
    file.write_text(json.dumps(content))
    return file


@contextmanager
def running(folder: Path, workers: int = 3, idle_minutes: float = 0.2) -> Iterator[dict[str, str]]:
    """Start the head and yield the environment of jobs on it; end both afterwards.

    Raises:
        RuntimeError: if the head does not start, with its log.
    """
    log = folder / "head.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": str(folder),
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += [f"--autoscaling-config={cluster_file(folder, workers, idle_minutes)}", f"--port={PORT}"]
    command += [f"--num-cpus={HEAD_CPUS}", "--num-gpus=0", "--include-dashboard=false"]
    command += ["--disable-usage-stats", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    command += ["--node-ip-address=127.0.0.1"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while "Ray runtime started" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the fake cluster did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield {**environment, "RAY_ADDRESS": f"127.0.0.1:{PORT}"}
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # the head, its monitor, and the nodes that this started
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_group(process.pid)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
