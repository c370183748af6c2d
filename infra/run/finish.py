"""The end of a run: recounting from the files, tables, and the run's own folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra.files import storage
from infra.run.counting import Recount
from infra.run.options import Exit
from infra.run.plan import Plan
from infra.run.provenance import provenance, utc_now
from infra.run.record import RUN, RecordedPlan
from operators.datasets.facts import Reason
from operators.rows.fingerprint import fingerprint
from operators.tables.accuracy import Result, csv_table, group_seeds, latex_table, markdown_table
from operators.tables.reproduction import matched_line, reproduction_tables

MARKDOWN = "tables/accuracy.md"


def recount(plan: Plan, max_quarantined: float) -> tuple[Exit, list[Result], dict[str, Any]]:
    """Count every planned expression in the files and compare with the manifest.

    Returns:
        The exit status, the table's lines (empty if incomplete) and the ledger by product folder.
    """
    planned = plan.planned_expressions()
    results, ledger, quarantined = [], {}, 0
    recount = Recount(plan)
    plan.store.look(product.folder for product in plan.predictions)
    for product in plan.predictions:
        absent = recount.absent(product)
        if absent:
            ledger[product.folder] = {"missing_shards": absent}
            continue
        counts, reasons = recount.count(product)
        found = {split: counts[split].total if split in counts else 0 for split in planned}
        entry: dict[str, Any] = {"planned": sum(planned.values()), "ok": sum(c.ok for c in counts.values())}
        entry["quarantined"] = sum(c.quarantined for c in counts.values())
        if reasons:
            entry["reasons"] = [reason.model_dump() for reason in reasons]
        if found != planned:
            entry["miscounted"] = {"/".join(s): [planned[s], n] for s, n in found.items() if n != planned[s]}
        ledger[product.folder] = entry
        quarantined += entry["quarantined"]
        results.append((product, counts))
    if any("missing_shards" in entry or "miscounted" in entry for entry in ledger.values()):
        return Exit.INCOMPLETE, [], ledger
    total = sum(planned.values()) * len(plan.predictions)
    too_many = quarantined > max_quarantined * total
    return (
        (Exit.QUARANTINE_ABOVE_LIMIT if too_many else Exit.COMPLETE),
        group_seeds(results, plan.bank_sizes),
        ledger,
    )


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


def folder_of_run(plan: Plan, out: str, started: datetime) -> str:
    """Return the run's own folder, by when it began and what it covers."""
    digest = fingerprint([sorted(p.folder for p in plan.predictions), [s.row_digest for s in plan.shards]])
    return storage.join(storage.absolute(out), "runs", f"{started.strftime('%Y%m%dT%H%M%S.%fZ')}-{digest}")


def finish(
    plan: Plan,
    *,
    folder: str,
    max_quarantined: float,
    options: Mapping[str, Any],
    counts: Mapping[str, int],
    started: datetime,
) -> Exit:
    """Recount, write the run's own folder and say what came out.

    Args:
        plan: with a view of the files as they are now.
        folder: of the run.
        max_quarantined: share of the expressions that may be set aside.
        options: of the job, as plain data, for the record.
        counts: what the stages reported.
        started: UTC.

    Returns:
        The exit status.
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
        "encoders": {encoder.name: encoder.told() for encoder in plan.encoders},
        "joins": [met.model_dump() for met in plan.joins],
        "notes": list(plan.gaps),
        "ledger": ledger,
        "counts": counts,
        **provenance(),
    }
    files[RUN] = json.dumps(record, indent=1)
    for name, text in files.items():
        storage.create_bytes(storage.join(folder, name), text.encode())
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
    for line in reason_lines(ledger):
        print(line)
    if MARKDOWN in files:
        print(matched_line(results, list(plan.banks)))
    print(f"tables, run.json: {folder}")
    print(f"features, predictions: {plan.store.root}", flush=True)
    return status


def reason_lines(ledger: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say why expressions were set aside: a line a reason, over all products, with one example."""
    totals: dict[str, Reason] = {}
    products: Counter[str] = Counter()
    for entry in ledger.values():
        for reason in (Reason.model_validate(found) for found in entry.get("reasons", ())):
            known = totals.get(reason.code) or reason.model_copy(update={"count": 0})
            totals[reason.code] = known.model_copy(update={"count": known.count + reason.count})
            products[reason.code] += 1
    return [
        f"{reason.line()} (in {products[code]} of {len(ledger)} predictions folders)"
        for code, reason in totals.items()
    ]


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
