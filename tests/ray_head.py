"""A real head node with a job server, as `ray start` makes it, for the length of a block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes:
        address: for RAY_ADDRESS.
        dashboard_url: for `ray job submit --address`.
        environment: of child processes that talk to it.
    """

    address: str
    dashboard_url: str
    environment: dict[str, str]


@contextmanager
def running(folder: Path, cpus: int) -> Iterator[Head]:
    """Start a head, connect this process to it, and end both afterwards."""
    import ray

    port, dashboard, agent, client = _free_ports(4)
    log = folder / "head.log"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--num-cpus={cpus}"]
    command += ["--include-dashboard=true", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
    command += [f"--port={port}", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        _connect(f"127.0.0.1:{port}", process, log)
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", environment)
    finally:
        ray.shutdown()
        os.killpg(process.pid, signal.SIGTERM)  # the head and the processes it started
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _connect(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import ray

    deadline_s = time.monotonic() + START_TIMEOUT_S
    while "Ray runtime started" not in log.read_text() and process.poll() is None:
        time.sleep(0.2)
    while True:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            return
        except ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the Ray head did not start:\n{log.read_text()}") from None
            time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
