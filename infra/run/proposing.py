"""The stage in which SAM proposes regions."""

from __future__ import annotations

import pyarrow as pa

from infra.dataset.shards import write_shard
from infra.execution.progress import Reporter
from infra.execution.settings import Settings
from infra.run.stages import SHARD_INDEX, settle_torch
from infra.weights.sources import local_file
from operators.datasets.facts import facts_of
from operators.methods.models import Segmenter

PROPOSAL_SET = "sam-grid"


class ProposeGrid:
    """Proposes regions for the images of a shard and writes the new shard."""

    def __init__(self, segmenter: Segmenter, settings: Settings, out: str, reporter: Reporter) -> None:
        from operators.segment.proposals import grid_settings
        from operators.segment.segmenter import load_segmenter

        settle_torch(settings.threads)
        self._grid = grid_settings(segmenter)
        self._sam = load_segmenter(segmenter, local_file(segmenter.weights), settings.device)
        self._out = out
        self._reporter = reporter

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Turn one shard's rows into the manifest entry of the new shard and its facts, as JSON."""
        from operators.segment.operator import propose_regions

        (index,) = set(rows.column(SHARD_INDEX).to_pylist())
        proposed = []
        for row in rows.drop_columns([SHARD_INDEX]).to_pylist():
            proposed.append(propose_regions(self._sam, row, PROPOSAL_SET, self._grid))
            self._reporter("images proposed", 1)
        schema = rows.drop_columns([SHARD_INDEX]).schema
        shard = write_shard(self._out, index, pa.Table.from_pylist(proposed, schema=schema))
        self._reporter.flush()
        facts = facts_of(proposed, proposed)
        return pa.table({"shard": [shard.model_dump_json()], "facts": [facts.model_dump_json()]})
