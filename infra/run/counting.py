"""Counting the answers in the files, and remembering the counts while the files stay as they are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pyarrow as pa

from infra.run.artifacts import Address, StalePart
from infra.run.plan import Plan
from operators.datasets.facts import Reason
from operators.methods.products import Predictions
from operators.rows.fingerprint import fingerprint
from operators.rows.read_ahead import read_ahead
from operators.tables.metrics import Reasons
from operators.tables.stored_counts import Counts, counts_table, read_counts
from operators.tasks.task import task_of

SAY_EVERY_S = 30.0
STATE = b"vpb.state"


class Recount:
    """Counts predictions of a plan from its files.

    What was counted is written beside the parts, with what the store says of their content. While that stays
    as it is, the counts are read instead of the parts: two requests a folder, not one a part.

    Attributes:
        read: parts that were read.
        remembered: parts whose counts were known.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.read, self.remembered = 0, 0
        self._said_s = time.monotonic()

    def absent(self, product: Predictions) -> list[str]:
        """Return the names of the shards whose part is not there."""
        known = self._plan.store.stamps(product.folder)
        return [s.name for s in self._plan.shards if self._plan.address(product, s).name not in known]

    def count(self, product: Predictions) -> tuple[Counts, list[Reason]]:
        """Count the answers of all shards, and why others were set aside.

        Raises:
            StalePart: if a part is damaged or not what its path says.
        """
        names = [self._plan.address(product, shard).name for shard in self._plan.shards]
        stamps = self._plan.store.stamps(product.folder)
        state = fingerprint([stamps[name] for name in names]).encode()
        place = Address(product.folder.replace(product.kind, "counts", 1), "counts", fingerprint(names))
        known = self._known(place, state)
        if known is not None:
            self.remembered += len(names)
            return known
        reasons = Reasons()
        counts = task_of(product).count(self._noted(self._parts(product), reasons))
        table = counts_table(counts, reasons.found())
        self._plan.store.put(place, table.replace_schema_metadata({**table.schema.metadata, STATE: state}))
        return counts, reasons.found()

    def _known(self, place: Address, state: bytes) -> tuple[Counts, list[Reason]] | None:
        """Return what was counted of parts with this content."""
        if not self._plan.store.has(place):
            return None
        try:
            table = self._plan.store.get(place)
        except StalePart:  # made anew from what it was counted from
            return None
        return read_counts(table) if table.schema.metadata.get(STATE) == state else None

    def _parts(self, product: Predictions) -> Iterator[pa.Table]:
        addresses = (self._plan.address(product, shard) for shard in self._plan.shards)
        return read_ahead(self._plan.store.get, addresses)

    def _noted(self, parts: Iterable[pa.Table], reasons: Reasons) -> Iterator[pa.Table]:
        for part in parts:
            reasons.add(part)
            self.read += 1
            if time.monotonic() - self._said_s > SAY_EVERY_S:
                self._said_s = time.monotonic()
                total = len(self._plan.predictions) * len(self._plan.shards)
                print(f"recounting: {self.read + self.remembered} of {total} parts", flush=True)
            yield part
