"""The benchmark on nodes that only claim to have GPUs: pools and autoscaling as on GPUs, torch on the CPU.

Takes the flags of `pipelines/refcoco_full.py`, and before them a file for lines of what the cluster looked
like (`timeline.Moment`) and the folder of the artifacts.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import infra.execution.ray_data
from infra.execution.cluster import connect, state_of_cluster
from infra.execution.ray_data import RayExecutor

EVERY_S = 0.5
ADDRESS = "127.0.0.1:6379"


class OnFakeGpus(RayExecutor):
    """Stages get a GPU's place, and are told that the device is the CPU."""

    def run(self, title: str, items: Any, stages: Any, totals: Any) -> Iterator[dict[str, Any]]:
        """Send the items through stages whose plan says `cpu`."""
        cpu = replace(self.settings, device="cpu")
        moved = []
        for stage in stages:
            plans = {
                name: replace(plan, settings=cpu) for name, plan in stage.arguments.items() if name == "plan"
            }
            moved.append(replace(stage, arguments={**stage.arguments, **plans}))
        return super().run(title, items, moved, totals)


def note_the_cluster(file: Path, artifacts: Path, until_nodes: int | None = None) -> None:
    """Write a line every half second; to the end of the process, or until only so many nodes are left."""
    while True:
        found = state_of_cluster(ADDRESS)
        parts = len(list(artifacts.glob("predictions/*/*.parquet")))
        with file.open("a") as lines:
            lines.write(f"{time.time():.1f} {found.nodes} {sum(found.actors.values())} {parts}\n")
        if found.nodes == until_nodes:
            return
        time.sleep(EVERY_S)


if __name__ == "__main__":
    infra.execution.ray_data.RayExecutor = OnFakeGpus  # type: ignore[misc]
    from pipelines.refcoco_full import main

    connect()
    watched = [Path(argument) for argument in sys.argv[1:3]]
    threading.Thread(target=note_the_cluster, args=watched, daemon=True).start()
    sys.exit(main(sys.argv[3:]))
