"""The end of a run: recounting from the files, tables, and the run's own folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra import storage
from infra.options import BenchmarkOptions, Exit
from infra.plan import Plan
from infra.provenance import provenance, utc_now
from operators.fingerprint import fingerprint
from operators.metrics import count_predictions
from operators.tables import Result, csv_table, group_seeds, markdown_table

MARKDOWN = "tables/accuracy.md"


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
        counts = count_predictions(plan.store.get(plan.address(product, s)) for s in plan.shards)
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
    splits = list(plan.banks)
    return {
        MARKDOWN: markdown_table(results, splits),
        "tables/accuracy.csv": csv_table(results, splits),
    }


def finish(options: BenchmarkOptions, plan: Plan, counts: Mapping[str, int], started: datetime) -> Exit:
    """Recount, write the run's own folder and say what came out.

    Args:
        options: of the run.
        plan: with a view of the files as they are now.
        counts: what the stages reported.
        started: UTC.

    Returns:
        The exit status.
    """
    status, results, ledger = recount(plan, options.max_quarantined)
    files = {} if status == Exit.INCOMPLETE else accuracy_tables(plan, results)
    record = {
        "started": started.isoformat(),
        "finished": utc_now().isoformat(),
        "exit": int(status),
        "options": options.model_dump(mode="json"),
        "products": [p.folder for p in plan.predictions],
        "weights": {m.name: m.weights.model_dump() for p in plan.predictions for m in p.models},
        "ledger": ledger,
        "counts": counts,
        **provenance(),
    }
    files["run.json"] = json.dumps(record, indent=1)
    folder = _write_run(options.out, plan, files, started)
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
    return status


def _write_run(out: str, plan: Plan, files: Mapping[str, str], started: datetime) -> str:
    """Write the run's folder, created once and never overwritten, `run.json` last; returns it."""
    digest = fingerprint([sorted(p.folder for p in plan.predictions), [s.row_digest for s in plan.shards]])
    stamp = started.strftime("%Y%m%dT%H%M%S.%fZ")
    folder = storage.join(storage.absolute(out), "runs", f"{stamp}-{digest}")
    for name, text in files.items():
        storage.create_bytes(storage.join(folder, name), text.encode())
    return folder
