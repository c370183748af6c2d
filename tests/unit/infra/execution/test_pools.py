"""Pool sizes: every stream fits the cluster it was sized for, and what cannot fit is explained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.execution.pools import Capacity, explain, needed, size_pools
from infra.execution.settings import Settings
from infra.execution.stage import Stage


class ReadShard: ...


class SegmentWithSam: ...


class EncodeWithClip: ...


class ScoreExpressions: ...


STREAMS = [
    [Stage(EncodeWithClip, size="model")],
    [Stage(ReadShard), Stage(EncodeWithClip, size="model"), Stage(ScoreExpressions, size="light")],
    [
        Stage(ReadShard),
        Stage(SegmentWithSam, size="model"),
        Stage(EncodeWithClip, size="model"),
        Stage(ScoreExpressions, size="light"),
    ],
]


@pytest.mark.parametrize("stages", STREAMS)
@given(cpus=st.integers(2, 256), actors=st.integers(0, 8), threads=st.integers(1, 8))
def test_on_cpus_every_stream_fits(stages, cpus: int, actors: int, threads: int) -> None:
    capacity = Capacity(cpus)
    settings = Settings(device="cpu", threads=threads, actors=actors)
    pools = size_pools(stages, settings, capacity)
    assert capacity.holds(needed(pools))
    assert all(pool.num_cpus > 0 and pool.least_actors <= pool.most_actors for pool in pools)


@pytest.mark.parametrize("stages", STREAMS)
@given(gpus=st.integers(1, 16))
def test_on_gpus_every_model_gets_its_share(stages, gpus: int) -> None:
    capacity = Capacity(8.0 * gpus, gpus)
    pools = size_pools(stages, Settings(device="cuda"), capacity)
    assert capacity.holds(needed(pools))
    models = [pool for pool, stage in zip(pools, stages, strict=True) if stage.size == "model"]
    assert all(pool.most_actors == gpus for pool in models)
    assert sum(pool.num_gpus for pool in models) == pytest.approx(1)


def test_an_autoscaled_cluster_starts_small_and_may_grow() -> None:
    pools = size_pools(STREAMS[2], Settings(device="cuda"), Capacity(64, 8))
    assert [(p.least_actors, p.most_actors) for p in pools] == [(0, 0), (1, 8), (1, 8), (1, 8)]
    assert needed(pools).gpus == 1


def test_what_cannot_fit_is_explained_with_the_arithmetic() -> None:
    capacity = Capacity(2, 1)
    settings = Settings(device="cuda", actors=3)
    pools = size_pools(STREAMS[2], settings, capacity)
    assert not capacity.holds(needed(pools))
    text = explain(STREAMS[2], pools, capacity)
    assert "need 2 CPUs and 3 GPUs at once" in text
    assert "SegmentWithSam 3 x (0.25 CPU + 0.5 GPU), EncodeWithClip 3 x (0.25 CPU + 0.5 GPU)" in text
    assert text.endswith("the cluster has 2 CPUs and 1 GPUs: 2 GPUs missing")


@pytest.mark.parametrize(
    ("settings", "items", "actors"),
    [
        (Settings(device="cuda"), None, 8),
        (Settings(device="cuda"), 3, 3),
        (Settings(device="cuda"), 0, 1),
        (Settings(device="cuda", max_actors=5), 100, 5),
        (Settings(device="cuda", max_actors=50), 100, 8),
        (Settings(device="cpu", threads=2, max_actors=4), None, 4),
        (Settings(device="cpu", threads=2), 2, 2),
    ],
)
def test_no_pool_has_more_actors_than_work_or_the_users_word(settings, items, actors) -> None:
    pools = size_pools(STREAMS[2], settings, Capacity(64, 8), items)
    models = [pool for pool, stage in zip(pools, STREAMS[2], strict=True) if stage.size == "model"]
    assert {pool.most_actors for pool in models} == {actors}
    assert {pool.least_actors for pool in models} == {1}


def test_a_fixed_number_of_actors_is_fixed() -> None:
    pools = size_pools(STREAMS[1], Settings(device="cuda", actors=4), Capacity(64, 8), items=2)
    assert (pools[1].least_actors, pools[1].most_actors) == (4, 4)
