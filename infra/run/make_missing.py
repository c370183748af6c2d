"""Making what a plan lacks: two streams, one over encoders for texts, one over shards for everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from infra.execution.stage import Executor, Stage
from infra.run.plan import Plan, totals
from infra.run.stages import (
    SHARD_INDEX,
    EncodeTexts,
    EncodeWithClip,
    ReadShard,
    ScoreExpressions,
    SegmentWithSam,
    prompted_bank,
    shard_item,
)

# Passes in a row that finish nothing although nodes are lost, before a run ends as incomplete.
MAX_VAIN_PASSES = 5
# Until a cluster has noticed that a node is gone (up to 15 s, measured), its actors only seem unavailable.
NOTICE_S = 20.0


class _Stream(NamedTuple):
    title: str
    key: str
    items: list[dict[str, Any]]
    stages: list[Stage]
    totals: Callable[[list[dict[str, Any]]], Mapping[str, int]]


def make_missing(plan: Plan, executor: Executor) -> None:
    """Encode the texts that are needed, then stream the shards through the stages whose parts are missing.

    Raises:
        InputError: if the stages do not fit the cluster; nothing has run then.
    """
    plan = replace(plan, settings=executor.settings)
    streams = [stream for stream in (_texts(plan), _images(plan)) if stream.items]
    # The stream over images has the most stages, so its arithmetic is the one worth reading.
    executor.require_fit([stream.stages for stream in reversed(streams)])
    for stream in streams:
        _run(stream, executor)


def _run(stream: _Stream, executor: Executor) -> None:
    """Run a stream, and again what did not come back: a node that was taken away costs time only.

    Another pass is made while passes finish something, or while nodes are lost; a shard that fails wherever
    it runs is left to the recount.
    """
    items, vain = stream.items, 0
    while items:
        lost = executor.nodes_lost
        rows = executor.run(stream.title, items, stream.stages, stream.totals(items))
        done = {row[stream.key] for row in rows}
        left = [item for item in items if item[stream.key] not in done]
        if left and executor.loses_nodes:
            time.sleep(NOTICE_S)
        vain = 0 if done else vain + 1
        if vain > (MAX_VAIN_PASSES if executor.nodes_lost > lost else 0):
            return
        if left:
            print(f"{stream.title}: {len(left)} of {len(items)} did not come back; once more", flush=True)
        items = left


def where(plan: Plan, executor: Executor) -> str:
    """Say in a line where the longest stream runs. Raises InputError as `Executor.where`."""
    stream = _images(plan)
    return executor.where(stream.stages, len(stream.items))


def _texts(plan: Plan) -> _Stream:
    missing = plan.missing_texts()
    wanted = {part.encoder for part in missing}
    items = [{"encoder": i} for i, encoder in enumerate(plan.encoders) if encoder in wanted]
    stages = [Stage(EncodeTexts, {"plan": plan}, size="model")]
    distinct = {(part.encoder, text) for part in missing for text in prompted_bank(plan, part)}
    return _Stream("texts", "encoder", items, stages, lambda _: {"texts encoded": len(distinct)})


def _images(plan: Plan) -> _Stream:
    pending, arguments = plan.pending_shards(), {"plan": plan}
    stages = [Stage(ReadShard, {"data": plan.data})]
    if any(plan.missing_masks(shard) for shard in pending):
        stages.append(Stage(SegmentWithSam, arguments, size="model"))
    if any(plan.missing_features(shard) for shard in pending):
        stages.append(Stage(EncodeWithClip, arguments, size="model"))
    stages.append(Stage(ScoreExpressions, arguments, size="light"))
    items = [shard_item(shard) for shard in pending]
    return _Stream("images", SHARD_INDEX, items, stages, partial(_totals, plan))


def _totals(plan: Plan, items: list[dict[str, Any]]) -> dict[str, int]:
    return totals(plan, [plan.shards_by_index[item[SHARD_INDEX]] for item in items])
