"""How a stream is doing, measured: what is done, how fast, on what, how long it will take, what it costs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# Added to an event: how many of its count were done by an earlier, interrupted run.
BEFORE = " before"
# Events of whole shards: read by the first stage, done when the last stage has written them.
SHARDS_READ, SHARDS_DONE = "shards read", "shards"
# Sums of samples of NVML's utilisation in percent, and how many there are.
GPU_PERCENT, GPU_SAMPLES = "gpu percent", "gpu samples"
# For people who watch; what a run did is told by the other events.
PASSING = {SHARDS_READ, SHARDS_DONE, GPU_PERCENT, GPU_SAMPLES}
RECENT_S = 60.0


@dataclass(frozen=True)
class ClusterState:
    """What a cluster is made of now: nodes, GPUs, live actors by stage."""

    nodes: int = 1
    gpus: float = 0.0
    actors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Vitals:
    """How a stream is doing at one moment.

    Attributes:
        title: of the stream.
        totals: expected count by event.
        counts: so far.
        elapsed_s: since it began.
        left_s: what remains at the pace so far, by the event that is furthest behind; None if unknown.
        per_s: by event, over the last minute and on average.
        cluster: what it runs on.
        gpu_hours: of GPUs alive since it began, busy or not.
        gpu_percent: mean of what NVML says of busy GPUs; None where it says nothing.
    """

    title: str
    totals: Mapping[str, int]
    counts: Mapping[str, int]
    elapsed_s: float
    left_s: float | None
    per_s: Mapping[str, tuple[float, float]]
    cluster: ClusterState
    gpu_hours: float = 0.0
    gpu_percent: float | None = None

    def line(self, gpu_hour_usd: float | None = None) -> str:
        """Write everything as one line."""
        parts = [f"{event} {self.counts.get(event, 0)}/{total}" for event, total in self.totals.items()]
        left = f" about {self.left_s:.0f} s left" if self.left_s is not None else ""
        line = f"{self.title}: {', '.join(parts)}, {self.elapsed_s:.0f} s{left}"
        return "; ".join([line, *self._pace(), *self._place(), *self._cost(gpu_hour_usd)])

    def _pace(self) -> list[str]:
        event = next((event for event in self.totals if event.startswith("images")), None)
        if event is None or event not in self.per_s:
            return []
        recent, average = self.per_s[event]
        return [f"{recent:.1f} images/s now, {average:.1f} on average"] if average else []

    def _place(self) -> list[str]:
        total = self.totals.get(SHARDS_DONE, 0)
        done, read = self.counts.get(SHARDS_DONE, 0), self.counts.get(SHARDS_READ, 0)
        words = []
        if total:
            # A shard that is read again after a fault is counted again.
            hand = min(max(read - done, 0), total - done)
            words.append(f"{hand} shards in hand, {max(total - done - hand, 0)} to come")
        if self.cluster.actors:
            actors = ", ".join(f"{n} {name}" for name, n in sorted(self.cluster.actors.items()))
            words.append(f"{self.cluster.nodes} nodes, {actors}")
        return words

    def _cost(self, gpu_hour_usd: float | None) -> list[str]:
        words = [] if self.gpu_percent is None else [f"GPUs {self.gpu_percent:.0f} % busy"]
        if self.gpu_hours:
            cost = f" ({self.gpu_hours * gpu_hour_usd:.2f} USD)" if gpu_hour_usd is not None else ""
            words.append(f"{self.gpu_hours:.2f} GPU hours{cost}")
        return words


class Watch:
    """Measures a stream while it runs.

    Args:
        title: of the stream.
        totals: expected count by event; events without any are left out.
        snapshot: returns the counts so far.
        cluster: returns what the stream runs on.
        gpu_hours: of streams before this one.
    """

    def __init__(
        self,
        title: str,
        totals: Mapping[str, int],
        snapshot: Callable[[], Mapping[str, int]],
        cluster: Callable[[], ClusterState] = ClusterState,
        gpu_hours: float = 0.0,
    ) -> None:
        self.totals = {event: total for event, total in totals.items() if total}
        self.snapshot = snapshot
        self._title, self._cluster = title, cluster
        self._started_s = time.monotonic()
        self._looked_s, self._gpu_hours, self._gpus = self._started_s, gpu_hours, 0.0
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()

    def look(self) -> Vitals:
        """Measure now."""
        counts, cluster, now_s = self.snapshot(), self._cluster(), time.monotonic()
        self._gpu_hours += self._gpus * (now_s - self._looked_s) / 3600
        self._looked_s, self._gpus = now_s, cluster.gpus
        elapsed_s = now_s - self._started_s
        share = min((self._share(counts, event) for event in self.totals), default=0.0)
        samples = counts.get(GPU_SAMPLES, 0)
        return Vitals(
            title=self._title,
            totals=self.totals,
            counts=counts,
            elapsed_s=elapsed_s,
            left_s=elapsed_s * (1 - share) / share if 0 < share < 1 else None,
            per_s=self._paces(counts, now_s, elapsed_s),
            cluster=cluster,
            gpu_hours=self._gpu_hours,
            gpu_percent=counts.get(GPU_PERCENT, 0) / samples if samples else None,
        )

    def _paces(
        self, counts: Mapping[str, int], now_s: float, elapsed_s: float
    ) -> dict[str, tuple[float, float]]:
        self._seen.append((now_s, counts))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= RECENT_S:
            self._seen.popleft()
        then_s, then = self._seen[0]
        paces = {}
        for event in self.totals:
            done = counts.get(event, 0)
            average = (done - counts.get(event + BEFORE, 0)) / elapsed_s if elapsed_s else 0.0
            recent = (done - then.get(event, 0)) / (now_s - then_s) if now_s > then_s else average
            paces[event] = (recent, average)
        return paces

    def _share(self, counts: Mapping[str, int], event: str) -> float:
        """Return the share of the work since the start that is done; what was done before tells no pace."""
        before = counts.get(event + BEFORE, 0)
        return min((counts.get(event, 0) - before) / max(self.totals[event] - before, 1), 1.0)
