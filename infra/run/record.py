"""What a finished run left in its own folder, read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.dataset.shards import Shard, Split
from infra.errors import InputError
from infra.files import storage
from infra.run.artifacts import Address, ArtifactStore, StalePart
from infra.run.options import Exit
from operators.methods.products import Masks, Predictions

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
    def bank_sizes(self) -> dict[tuple[str, str], int]:
        """Return the number of captions by (dataset, split)."""
        return {(split.dataset, split.split): split.expressions for split in self.splits}

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
