"""The end of a run: recounting from the files, tables, and the run's own folder; and reading that again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.dataset.shards import Shard, Split
from infra.errors import InputError
from infra.files import storage
from infra.run.artifacts import Address, ArtifactStore, StalePart
from infra.run.options import Exit
from infra.run.plan import Plan
from infra.run.provenance import provenance, utc_now
from operators.methods.products import Masks, Predictions
from operators.rows.fingerprint import fingerprint
from operators.tables.accuracy import Result, csv_table, group_seeds, latex_table, markdown_table
from operators.tables.reproduction import reproduction_tables
from operators.tasks.task import task_of

MARKDOWN = "tables/accuracy.md"
RUN = "run.json"


class RecordedPlan(BaseModel):
    """What a run covered, as `run.json` keeps it.

    Folders are recorded, not computed again: they depend on the versions of libraries, which may be others
    where the run is read.

    Attributes:
        data: folder of the shards.
        artifacts: folder of the parts.
        predictions: by artifact folder, in the order of the table.
        masks: by artifact folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    artifacts: str
    splits: list[Split]
    shards: list[Shard]
    predictions: dict[str, Predictions]
    masks: dict[str, Masks]

    @property
    def parsers(self) -> dict[tuple[str, str], list[str]]:
        """Return what made the parses of every split, by (dataset, split)."""
        return {(split.dataset, split.split): split.parsers for split in self.splits}


@dataclass(frozen=True)
class FinishedRun:
    """A run read back from its folder.

    Attributes:
        folder: of the run.
        record: everything in `run.json` but the plan.
        plan: what it covered.
    """

    folder: str
    record: dict[str, Any]
    plan: RecordedPlan

    @property
    def splits(self) -> list[tuple[str, str]]:
        """Return the splits as (dataset, split)."""
        return [(split.dataset, split.split) for split in self.plan.splits]

    def predictions(self, folder: str) -> dict[int, pa.Table]:
        """Return the parts of a predictions folder by shard number.

        Raises:
            InputError: if a part is not there any more, or damaged.
        """
        return {s.index: self._part(Address(folder, s.stem, s.row_digest)) for s in self.plan.shards}

    def masks(self, shard: Shard) -> dict[Masks, pa.Table]:
        """Return the masks parts of a shard that exist."""
        store = ArtifactStore(self.plan.artifacts)
        places = {m: Address(f, shard.stem, shard.image_digest) for f, m in self.plan.masks.items()}
        return {masks: self._part(place) for masks, place in places.items() if store.has(place)}

    def _part(self, address: Address) -> pa.Table:
        store = ArtifactStore(self.plan.artifacts)
        try:
            return store.get(address)
        except (FileNotFoundError, StalePart) as problem:
            raise InputError(
                f"{store.url(address)}: {problem}; if the artifacts were moved, name their folder with "
                "--artifacts, else run the benchmark again"
            ) from problem


def read_run(folder: str, data: str | None = None, artifacts: str | None = None) -> FinishedRun:
    """Read a run's folder.

    Args:
        folder: of the run, `<out>/runs/<time>-<plan>`.
        data: where the shards lie now, if they were moved.
        artifacts: where the parts lie now, if they were moved.

    Raises:
        InputError: if there is no `run.json`, or it cannot be read, or the run is incomplete.
    """
    url = storage.join(storage.absolute(folder), RUN)
    try:
        record = json.loads(storage.read_bytes(url))
        moved = {"data": data, "artifacts": artifacts}
        places = {name: storage.absolute(place) for name, place in moved.items() if place}
        plan = RecordedPlan.model_validate(record.pop("plan") | places)
        status = Exit(record["exit"])
    except FileNotFoundError as problem:
        raise InputError(f"{url} does not exist; name a run's folder: <out>/runs/<time>-<plan>") from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        what = (
            problem.errors(include_url=False)[0]["msg"] if isinstance(problem, ValidationError) else problem
        )
        raise InputError(
            f"{url} is not the record of a run of this version ({what}); run it again"
        ) from problem
    if status == Exit.INCOMPLETE:
        raise InputError(f"{url}: the run is incomplete; the same command goes on from there")
    return FinishedRun(storage.absolute(folder), record, plan)


def recount(plan: Plan, max_quarantined: float) -> tuple[Exit, list[Result], dict[str, Any]]:
    """Count every planned expression in the files and compare with the manifest.

    Returns:
        The exit status, the table's lines (empty if incomplete) and the ledger by product folder.
    """
    planned = plan.planned_expressions()
    results, ledger, quarantined = [], {}, 0
    for product in plan.predictions:
        absent = [s.name for s in plan.shards if not plan.store.has(plan.address(product, s))]
        if absent:
            ledger[product.folder] = {"missing_shards": absent}
            continue
        counts = task_of(product).count(plan.store.get(plan.address(product, s)) for s in plan.shards)
        found = {split: counts[split].total if split in counts else 0 for split in planned}
        entry: dict[str, Any] = {"planned": sum(planned.values()), "ok": sum(c.ok for c in counts.values())}
        entry["quarantined"] = sum(c.quarantined for c in counts.values())
        if found != planned:
            entry["miscounted"] = {"/".join(s): [planned[s], n] for s, n in found.items() if n != planned[s]}
        ledger[product.folder] = entry
        quarantined += entry["quarantined"]
        results.append((product, counts))
    if any("missing_shards" in entry or "miscounted" in entry for entry in ledger.values()):
        return Exit.INCOMPLETE, [], ledger
    total = sum(planned.values()) * len(plan.predictions)
    too_many = quarantined > max_quarantined * total
    return (Exit.QUARANTINE_ABOVE_LIMIT if too_many else Exit.COMPLETE), group_seeds(results), ledger


def accuracy_tables(plan: Plan, results: list[Result]) -> dict[str, str]:
    """Return the tables by file name; that of published numbers where a line has a counterpart."""
    splits = list(plan.banks)
    reproduced = reproduction_tables(results, recorded_plan(plan).parsers)
    return {
        **{f"tables/reproduction.{suffix}": text for suffix, text in reproduced.items()},
        MARKDOWN: markdown_table(results, splits),
        "tables/accuracy.csv": csv_table(results, splits),
        "tables/accuracy.tex": latex_table(results, splits),
    }


def finish(
    plan: Plan,
    *,
    out: str,
    max_quarantined: float,
    options: Mapping[str, Any],
    counts: Mapping[str, int],
    started: datetime,
) -> tuple[Exit, str]:
    """Recount, write the run's own folder and say what came out.

    Args:
        plan: with a view of the files as they are now.
        out: folder of the runs.
        max_quarantined: share of the expressions that may be set aside.
        options: of the job, as plain data, for the record.
        counts: what the stages reported.
        started: UTC.

    Returns:
        The exit status and the run's folder.
    """
    status, results, ledger = recount(plan, max_quarantined)
    files = {} if status == Exit.INCOMPLETE else accuracy_tables(plan, results)
    record = {
        "started": started.isoformat(),
        "finished": utc_now().isoformat(),
        "exit": int(status),
        "options": options,
        "plan": recorded_plan(plan).model_dump(mode="json"),
        "weights": {m.name: m.weights.model_dump() for p in plan.predictions for m in p.models},
        "ledger": ledger,
        "counts": counts,
        **provenance(),
    }
    files[RUN] = json.dumps(record, indent=1)
    folder = _write_run(out, plan, files, started)
    if MARKDOWN in files:
        print("\n" + files[MARKDOWN])
    for name, entry in ledger.items():
        if "missing_shards" in entry or "miscounted" in entry:
            print(f"incomplete: {name}: {json.dumps(entry)}; the same command goes on from here")
    done = ", ".join(f"{count} {event}" for event, count in sorted(counts.items())) or "nothing"
    planned, ok, aside = (
        sum(e.get(key, 0) for e in ledger.values()) for key in ("planned", "ok", "quarantined")
    )
    print(f"computed in this run: {done}")
    print(f"recounted from the files: {planned} planned = {ok} ok + {aside} set aside")
    print(f"tables, run.json: {folder}")
    print(f"features, predictions: {plan.store.root}", flush=True)
    return status, folder


def recorded_plan(plan: Plan) -> RecordedPlan:
    """Return what of a plan `run.json` keeps."""
    masks = {f.masks for p in plan.predictions for row in p.features() for f in row if f.masks}
    return RecordedPlan(
        data=plan.data,
        artifacts=plan.store.root,
        splits=list(plan.splits),
        shards=list(plan.shards),
        predictions={product.folder: product for product in plan.predictions},
        masks={product.folder: product for product in sorted(masks, key=lambda m: m.folder)},
    )


def _write_run(out: str, plan: Plan, files: Mapping[str, str], started: datetime) -> str:
    """Write the run's folder, created once and never overwritten, `run.json` last; returns it."""
    digest = fingerprint([sorted(p.folder for p in plan.predictions), [s.row_digest for s in plan.shards]])
    stamp = started.strftime("%Y%m%dT%H%M%S.%fZ")
    folder = storage.join(storage.absolute(out), "runs", f"{stamp}-{digest}")
    for name, text in files.items():
        storage.create_bytes(storage.join(folder, name), text.encode())
    return folder
