"""Making what a plan lacks: two streams, one over encoders for texts, one over shards for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
)


class _Stream(NamedTuple):
    title: str
    items: list[dict[str, Any]]
    stages: list[Stage]
    totals: Mapping[str, int]


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
        list(executor.run(stream.title, stream.items, stream.stages, stream.totals))


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
    return _Stream("texts", items, stages, {"texts encoded": len(distinct)})


def _images(plan: Plan) -> _Stream:
    pending, arguments = plan.pending_shards(), {"plan": plan}
    stages = [Stage(ReadShard, arguments)]
    if any(plan.missing_masks(shard) for shard in pending):
        stages.append(Stage(SegmentWithSam, arguments, size="model"))
    if any(plan.missing_features(shard) for shard in pending):
        stages.append(Stage(EncodeWithClip, arguments, size="model"))
    stages.append(Stage(ScoreExpressions, arguments, size="light"))
    return _Stream("images", [{SHARD_INDEX: s.index} for s in pending], stages, totals(plan))
