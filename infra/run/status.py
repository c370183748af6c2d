"""How a run is doing, read from its files by another process, which disturbs nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from infra.errors import InputError
from infra.execution.vitals import ClusterState, Vitals
from infra.files import storage
from infra.run.artifacts import Address, ArtifactStore
from infra.run.heartbeat import PLAN, PROGRESS
from infra.run.options import Exit
from infra.run.record import RUN, RecordedPlan

# Beats that may be late before a run is called silent.
LATE_BEATS = 3


@dataclass(frozen=True)
class Status:
    """What the files of a run say.

    Attributes:
        folder: of the run.
        plan: what it covers; None if it wrote none, since every part existed.
        beat: its last progress; None if it wrote none.
        exit: how it ended; None while it has not.
        shards_done: shards whose predictions all exist, whoever made them.
    """

    folder: str
    plan: RecordedPlan | None
    beat: dict[str, Any] | None
    exit: Exit | None
    shards_done: int

    def lines(self, now: datetime, live: ClusterState | None = None) -> list[tuple[str, str]]:
        """Say it for people.

        Args:
            now: UTC.
            live: what the cluster is made of now, if it was asked.
        """
        found = [("run", self.folder), ("state", self._state(now))]
        if self.plan is not None:
            total = len(self.plan.shards)
            found.append(("shards", f"{self.shards_done} of {total} done, by the files"))
        if self.beat and self.beat["vitals"]:
            vitals = Vitals(
                **self.beat["vitals"] | {"cluster": ClusterState(**self.beat["vitals"]["cluster"])}
            )
            found.append(("progress", vitals.line(self.beat["gpu_hour_usd"])))
            found += self._end(vitals)
        if live is not None:
            actors = ", ".join(f"{n} {name}" for name, n in sorted(live.actors.items())) or "none of ours"
            found.append(("cluster now", f"{live.nodes} nodes, {live.gpus:g} GPUs; actors: {actors}"))
        return found

    def _state(self, now: datetime) -> str:
        if self.exit is not None:
            return f"ended with exit {int(self.exit)} ({self.exit.name.lower().replace('_', ' ')})"
        if self.beat is None:
            return "no word of it yet"
        age_s = (now - datetime.fromisoformat(self.beat["updated"])).total_seconds()
        where = f"{self.beat['host']}, process {self.beat['pid']}"
        if self.beat["state"] != "running":
            return f"{self.beat['state']} ({age_s:.0f} s ago, {where})"
        if age_s > LATE_BEATS * self.beat["every_s"]:
            return f"silent for {age_s:.0f} s ({where}): it or its node died; the same command goes on"
        return f"running, heard of {age_s:.0f} s ago ({where})"

    def _end(self, vitals: Vitals) -> list[tuple[str, str]]:
        if self.exit is not None or vitals.left_s is None or self.beat is None:
            return []
        end = datetime.fromisoformat(self.beat["updated"]) + timedelta(seconds=vitals.left_s)
        told = f"{end:%Y-%m-%d %H:%M} UTC, at the pace so far"
        price = self.beat["gpu_hour_usd"]
        if price is not None and vitals.elapsed_s:
            whole = vitals.gpu_hours * (1 + vitals.left_s / vitals.elapsed_s) * price
            told += f"; about {whole:.2f} USD in all"
        return [("ends about", told)]


def newest_run(out: str) -> str:
    """Return the folder of the run that began last. Raises InputError if there is none."""
    runs = storage.join(storage.absolute(out), "runs")
    names = sorted(storage.list_names(runs))
    if not names:
        raise InputError(f"{runs} has no runs; name the --out of a run")
    return storage.join(runs, names[-1])


def read_status(folder: str) -> Status:
    """Read what a run wrote of itself, and count its parts.

    Raises:
        InputError: if its files are not those of a run of this version.
    """
    record, said, beat = (_read(storage.join(folder, name)) for name in (RUN, PLAN, PROGRESS))
    try:
        content = said or (record or {}).get("plan")
        plan = RecordedPlan.model_validate(content) if content else None
        return Status(folder, plan, beat, Exit(record["exit"]) if record else None, _shards_done(plan))
    except (ValidationError, KeyError, ValueError) as problem:
        raise InputError(f"{folder} is not the folder of a run of this version ({problem})") from problem


def _shards_done(plan: RecordedPlan | None) -> int:
    if plan is None:
        return 0
    store = ArtifactStore(plan.artifacts)
    return sum(
        all(store.has(Address(folder, shard.stem, shard.row_digest)) for folder in plan.predictions)
        for shard in plan.shards
    )


def _read(url: str) -> Any:
    try:
        return json.loads(storage.read_bytes(url))
    except FileNotFoundError:
        return None
    except ValueError as problem:
        raise InputError(f"{url}: not JSON: {problem}") from problem
