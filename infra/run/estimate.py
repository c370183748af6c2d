"""How much a run computes, and how long that takes at a measured pace. Counted before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import InputError
from infra.execution.stage import Executor
from infra.files import storage
from infra.run.plan import Plan
from infra.weights.flops import model_flops
from operators.methods.models import Encoder, Segmenter
from operators.methods.products import Features

STEPS = ("segment", "encode", "texts")
# Of a caption with its template and its two marks; the estimate needs no reading of banks.
TOKENS_A_CAPTION = 12
Positive = Annotated[float, Field(gt=0)]


class Throughput(BaseModel):
    """A measured pace, as a YAML file; `pipelines/bench.py` writes one.

    Attributes:
        device: it was measured on, for people.
        tflop_per_s: 10^12 floating-point operations a second, by step.
        hour_usd: price of an hour of such a device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    tflop_per_s: dict[str, Positive]
    hour_usd: Positive | None = None

    def hours(self, work: Mapping[str, float]) -> float | None:
        """Return device hours; None if a step was not measured."""
        if any(work[step] and step not in self.tflop_per_s for step in work):
            return None
        return sum(flops / self.tflop_per_s[step] / 1e12 for step, flops in work.items() if flops) / 3600


def read_throughput(url: str) -> Throughput:
    """Read a file. Raises InputError naming it and what is wrong."""
    try:
        return Throughput.model_validate(yaml.safe_load(storage.read_bytes(url)))
    except (OSError, yaml.YAMLError, ValidationError) as problem:
        detail = (
            problem.errors(include_url=False)[0]["msg"] if isinstance(problem, ValidationError) else problem
        )
        raise InputError(f"--throughput {url}: {detail}") from problem


def work_of(plan: Plan) -> dict[str, float] | None:
    """Return the floating-point operations of what a plan lacks, by step.

    None where a model does not tell.
    """
    encoders, segmenters = plan.missing_models()
    models: list[Encoder | Segmenter] = [*encoders, *segmenters]
    known = {model.name: model_flops(model) for model in models}
    if any(flops is None for flops in known.values()):
        return None
    found = dict.fromkeys(STEPS, 0.0)
    shared = {feature.folder: shares_a_view(feature) for feature in plan.graph.features}
    for shard in plan.pending_shards():
        for masks in plan.missing_masks(shard):
            flops = known[masks.segmenter.name] or {}
            found["segment"] += shard.images * flops["picture"] + shard.regions * flops["box"]
        for feature in plan.missing_features(shard):
            views = shard.images if shared[feature.folder] else shard.regions
            found["encode"] += views * (known[feature.encoder.name] or {})["view"]
    for text in plan.missing_texts():
        captions = plan.banks[text.dataset, text.split].expressions
        found["texts"] += captions * TOKENS_A_CAPTION * (known[text.encoder.name] or {})["token"]
    return found


def shares_a_view(feature: Features) -> bool:
    """Say whether all regions of a picture are shown the same."""
    variant = feature.variant
    drawn = any(prompt.region != "none" for prompt, _ in variant.layers)
    return not drawn and variant.fit != "bias_crop" and variant.attention is None


def estimate_rows(work: Mapping[str, float] | None, pace: Throughput | None) -> list[tuple[str, str]]:
    """Say how much there is to compute and, where a pace is known, how long and how dear that is."""
    if work is None:
        return [("to compute", "unknown: a model does not tell")]
    told = ", ".join(f"{step} {flops / 1e12:,.1f} TFLOP" for step, flops in work.items() if flops)
    rows = [("to compute", told or "nothing by models")]
    hours = pace.hours(work) if pace else None
    if pace and hours is None:
        rows.append(("estimate", f"unknown: {pace.device} was not measured in every step"))
    elif pace and hours:
        cost = f", {hours * pace.hour_usd:.2f} USD" if pace.hour_usd else ""
        rows.append(("estimate", f"{hours:.3g} hours of {pace.device}{cost}"))
    return rows


def device_hours(executor: Executor, elapsed_s: float) -> float:
    """Return how long GPUs were there for a run, busy or not; without any, how long it took."""
    vitals = executor.watch.look() if executor.watch else None
    return vitals.gpu_hours if vitals and vitals.gpu_hours else elapsed_s / 3600


def error_line(estimated_hours: float, took_hours: float) -> str:
    """Say after a run how good its estimate was."""
    return (
        f"estimated {estimated_hours:.3g} device hours, took {took_hours:.3g}: "
        f"{took_hours / estimated_hours:.2f} times the estimate"
    )
