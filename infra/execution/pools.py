"""How many actors of what size each stage of a stream gets, and whether they fit. Pure arithmetic, no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.execution.settings import Settings
from infra.execution.stage import Stage

LIGHT_CPUS = 0.25
LEAST_CPUS = 0.01


@dataclass(frozen=True)
class Capacity:
    """CPUs and GPUs of a cluster."""

    cpus: float
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"

    def holds(self, other: Capacity) -> bool:
        """Say whether it has at least as much of everything."""
        return self.cpus >= other.cpus and self.gpus >= other.gpus


@dataclass(frozen=True)
class Pool:
    """The actors of one stage; without actors it runs as tasks.

    Attributes:
        least_actors: never fewer; what must fit before anything runs.
        most_actors: never more, and what is asked for at the start: an actor that has no place yet is what
            makes an autoscaler add a node, and the demand is gone with the job. Ray Data shrinks and grows
            the pool between.
    """

    least_actors: int
    most_actors: int
    num_cpus: float = LIGHT_CPUS
    num_gpus: float = 0.0

    def least(self) -> Capacity:
        """Return what must be there before anything runs."""
        slots = max(self.least_actors, 1)
        return Capacity(slots * self.num_cpus, slots * self.num_gpus)


def size_pools(
    stages: Sequence[Stage], settings: Settings, most: Capacity, items: int | None = None
) -> list[Pool]:
    """Size the pools so that every stage of a stream can run at once.

    A stage without a model takes a small share of a CPU, with one actor for each GPU if it keeps state: one
    alone would be waited for by many. Model stages take an equal share of a GPU where the device is one;
    otherwise they split the CPUs that are left, `threads` to an actor. A stream whose pools do
    not fit together waits for ever (measured), so on a small machine the shares shrink before that happens.

    Args:
        stages: in order.
        settings: device, threads, and the number of actors if the user has fixed or bounded it.
        most: what the cluster has, or can grow to.
        items: how many pass through the stream; no pool gets more actors. None if that is not known.
    """
    models = max(1, sum(stage.size == "model" for stage in stages))
    scorers = 1
    if settings.device == "cpu":
        model = _on_cpus(stages, settings, most, models)
    else:
        least, most_actors = _actors(settings, int(most.gpus))
        model = Pool(least, most_actors, num_gpus=_hundredths(1 / models))
        scorers = most_actors
    if items is not None and not settings.actors:
        model = replace(model, most_actors=max(1, min(model.most_actors, items)))
    light = Pool(1, max(1, min(scorers, model.most_actors)))
    sizes = {"model": model, "light": light, "task": Pool(0, 0)}
    return [sizes[stage.size] for stage in stages]


def _on_cpus(stages: Sequence[Stage], settings: Settings, most: Capacity, models: int) -> Pool:
    light_cpus = LIGHT_CPUS * (sum(stage.size != "model" for stage in stages) + 1)
    per_actor, free_cpus = float(settings.threads), most.cpus - light_cpus
    least, most_actors = _actors(settings, int(free_cpus // (per_actor * models)))
    share = min(per_actor, max(free_cpus, 0.0) / (models * least))
    return Pool(least, most_actors, num_cpus=max(_hundredths(share), LEAST_CPUS))


def _actors(settings: Settings, room: int) -> tuple[int, int]:
    """Return how many actors a stage has at least and at most, by the user's words and the room there is."""
    if settings.actors:
        return settings.actors, settings.actors
    most = max(1, room)
    return 1, min(most, settings.max_actors) if settings.max_actors else most


def needed(pools: Sequence[Pool]) -> Capacity:
    """Return what all pools need before anything runs."""
    least = [pool.least() for pool in pools]
    return Capacity(round(sum(c.cpus for c in least), 4), round(sum(c.gpus for c in least), 4))


def explain(stages: Sequence[Stage], pools: Sequence[Pool], capacity: Capacity) -> str:
    """Say what is needed, stage by stage, what there is, and what is missing."""
    need = needed(pools)
    parts = []
    for stage, pool in zip(stages, pools, strict=True):
        gpus = f" + {pool.num_gpus:g} GPU" if pool.num_gpus else ""
        parts.append(f"{stage.name} {max(pool.least_actors, 1)} x ({pool.num_cpus:g} CPU{gpus})")
    short = []
    if need.gpus > capacity.gpus:
        short.append(f"{need.gpus - capacity.gpus:g} GPUs")
    if need.cpus > capacity.cpus:
        short.append(f"{need.cpus - capacity.cpus:g} CPUs")
    return (
        f"the stages need {need} at once: {', '.join(parts)}; the cluster has {capacity}: "
        f"{' and '.join(short)} missing"
    )


def _hundredths(value: float) -> float:
    return int(value * 100) / 100
