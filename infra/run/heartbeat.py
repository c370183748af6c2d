"""What a run says of itself while it works: its plan once, and how it is doing every 30 s, as files."""

from __future__ import annotations

import json
import os
import platform
import threading
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import Any

from infra.execution.stage import Executor
from infra.files import storage
from infra.run.provenance import utc_now
from infra.run.record import RecordedPlan

PLAN, PROGRESS = "plan.json", "progress.json"
EVERY_S = 30.0


class Heartbeat:
    """Writes a run's plan and progress into its folder while its block runs.

    Both are for people: a store that refuses them does not stop the run.

    Args:
        folder: of the run.
        plan: what it covers.
        executor: what works on it.
        started: UTC.
        every_s: between two looks.
    """

    def __init__(
        self,
        folder: str,
        plan: RecordedPlan,
        executor: Executor,
        started: datetime,
        every_s: float = EVERY_S,
    ) -> None:
        self._folder, self._executor, self._every_s = folder, executor, every_s
        self._plan, self._started = plan, started
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        with suppress(OSError):
            storage.write_bytes(storage.join(self._folder, PLAN), self._plan.model_dump_json().encode())
        self._write("running")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._write(f"ended: {value!r}" if value is not None else "all parts were tried; recounting")

    def _beat(self) -> None:
        while not self._stop.wait(self._every_s):
            self._write("running")

    def _write(self, state: str) -> None:
        watch = self._executor.watch
        said: dict[str, Any] = {
            "state": state,
            "started": self._started.isoformat(),
            "updated": utc_now().isoformat(),
            "every_s": self._every_s,
            "host": platform.node(),
            "pid": os.getpid(),
            "vitals": asdict(watch.look()) if watch else None,
            "gpu_hour_usd": self._executor.settings.gpu_hour_usd,
        }
        with suppress(OSError):
            storage.write_bytes(storage.join(self._folder, PROGRESS), json.dumps(said).encode())
