"""Sends shards through stages that only wait, on a cluster that claims to have enough CPUs, and prints what
that took as a line of JSON.

python stream_at_scale.py ACTORS SHARDS SECONDS_A_SHARD
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa
from plan_at_scale import plan

from infra.dataset.shards import Shard
from infra.execution.executor import make_executor
from infra.execution.progress import Reporter
from infra.execution.settings import Settings
from infra.execution.stage import Stage
from infra.run.plan import Plan
from infra.run.stages import SHARD, SHARD_INDEX, shard_item

# For tasks; the machine need not have them, but every one that is claimed lets Ray start a process.
CPUS_FOR_TASKS = 2


class Read:
    """Stands for reading: hands on the item."""

    def __init__(self, data: str, reporter: Reporter) -> None:
        self._data = data

    def __call__(self, items: pa.Table) -> pa.Table:
        """Look at the shard, as the real stage does."""
        (described,) = items.column(SHARD).to_pylist()
        assert Shard.model_validate_json(described).images
        return items.select([SHARD_INDEX])


class Wait:
    """Stands for a model: takes its time, and says when and where that was."""

    def __init__(self, plan: Plan, seconds: float, reporter: Reporter) -> None:
        self._seconds, self._reporter = seconds, reporter

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Wait, report and flush as the real stages do."""
        began_s = time.time()
        time.sleep(self._seconds)
        self._reporter("shards", 1)
        self._reporter.flush()
        told = {
            "actor": pa.array([os.getpid()]),
            "began_s": pa.array([began_s]),
            "ended_s": pa.array([time.time()]),
        }
        for name, column in told.items():
            rows = rows.append_column(name, column)
        return rows


def busy_share(rows: list[dict[str, Any]], actors: int) -> float:
    """Return the share of the actors' time that they worked, while all were there and all had work."""
    spans: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        spans.setdefault(row["actor"], []).append((row["began_s"], row["ended_s"]))
    start, end = max(min(s)[0] for s in spans.values()), min(max(s)[1] for s in spans.values())
    within = (min(e, end) - max(b, start) for span in spans.values() for b, e in span)
    return sum(max(0.0, seconds) for seconds in within) / (actors * (end - start))


def main(actors: int, shards: int, seconds: float) -> None:
    """Run the stream and print what it took."""
    made = plan(tempfile.mkdtemp(), shards)
    executor = make_executor("ray", Settings(actors=actors, threads=1))
    stages = [
        Stage(Read, {"data": made.data}),
        Stage(Wait, {"plan": made, "seconds": seconds}, size="model"),
    ]
    items = [shard_item(shard) for shard in made.shards]
    began_s = time.time()
    rows = list(executor.run("scale", items, stages, {"shards": shards}))
    took_s = time.time() - began_s
    assert {row[SHARD_INDEX] for row in rows} == set(range(shards)) and len(rows) == shards
    found = {
        "actors": len({row["actor"] for row in rows}),
        "first_s": min(row["ended_s"] for row in rows) - began_s,
        "seconds": took_s,
        "busy": busy_share(rows, actors),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print("FOUND", json.dumps(found))


if __name__ == "__main__":
    import ray

    ray.init(
        "local",
        num_cpus=int(sys.argv[1]) + CPUS_FOR_TASKS,
        include_dashboard=False,
        logging_level="ERROR",
        object_store_memory=2 << 30,
    )
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
