"""What a stream's line tells: pace, shards in hand, nodes and actors, GPU hours and their price."""

from __future__ import annotations

import pytest

from infra.execution import vitals
from infra.execution.vitals import ClusterState, Watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"s": 1000.0}
    monkeypatch.setattr(vitals.time, "monotonic", lambda: now["s"])
    return now


def test_the_whole_line(clock) -> None:
    counts = {"shards": 0}
    state = ClusterState(nodes=4, gpus=3.0, actors={"SegmentWithSam": 2, "EncodeWithClip": 3})
    watch = Watch("images", {"images encoded": 600, "shards": 20}, lambda: dict(counts), lambda: state)
    watch.look()
    clock["s"] += 120
    counts |= {"images encoded": 60, "shards": 2, "shards read": 7}
    watch.look()
    clock["s"] += 60
    counts |= {"images encoded": 180, "shards": 6, "shards read": 10, "gpu percent": 270, "gpu samples": 3}
    found = watch.look()
    assert found.per_s["images encoded"] == (2.0, 1.0)
    assert found.gpu_hours == pytest.approx(3 * 180 / 3600)
    assert found.line(gpu_hour_usd=0.8) == (
        "images: images encoded 180/600, shards 6/20, 180 s about 420 s left; "
        "2.0 images/s now, 1.0 on average; 4 shards in hand, 10 to come; "
        "4 nodes, 3 EncodeWithClip, 2 SegmentWithSam; GPUs 90 % busy; 0.15 GPU hours (0.12 USD)"
    )


def test_gpu_hours_are_those_of_the_gpus_that_were_alive(clock) -> None:
    alive = {"gpus": 0.0}
    watch = Watch("images", {"shards": 9}, dict, lambda: ClusterState(gpus=alive["gpus"]))
    for gpus, seconds in ((2.0, 1800), (0.0, 3600), (1.0, 900)):
        watch.look()
        alive["gpus"] = gpus
        watch.look()
        clock["s"] += seconds
    assert watch.look().gpu_hours == pytest.approx(1.0 + 0.25)


@pytest.mark.parametrize(
    ("read", "done", "told"),
    [
        (0, 0, "0 shards in hand, 9 to come"),
        (9, 9, "0 shards in hand, 0 to come"),
        # Two shards were read twice, after a fault.
        (11, 8, "1 shards in hand, 0 to come"),
        (2, 3, "0 shards in hand, 6 to come"),
    ],
)
def test_shards_in_hand_are_never_more_than_there_are(clock, read: int, done: int, told: str) -> None:
    counts = {"shards read": read, "shards": done}
    assert told in Watch("images", {"shards": 9}, lambda: counts).look().line()


def test_the_recent_pace_forgets(clock) -> None:
    counts = {"images": 0}
    watch = Watch("images", {"images": 1000}, lambda: dict(counts))
    for step in range(20):
        counts["images"] = 10 * min(step, 10)
        found = watch.look()
        clock["s"] += 10
    recent, average = found.per_s["images"]
    assert recent == 0.0 and average == pytest.approx(100 / 190)
