"""Ray's stream at scale: stages that wait 70 ms an image on 1 to 64 actors, and 10 to 10,000 short shards.

pytest -m benchmarks -s tests/benchmarks/test_stream_scale.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.benchmarks, pytest.mark.timeout(2000)]

CHILD = Path(__file__).parent / "stream_at_scale.py"
SECONDS_AN_IMAGE, IMAGES_A_SHARD, SHARDS_AN_ACTOR = 0.07, 32, 6
LEAST_SHARE_OF_LINEAR = 0.9


@cache
def streamed(actors: int, shards: int, seconds_a_shard: float) -> dict[str, Any]:
    arguments = map(str, (actors, shards, seconds_a_shard))
    made = subprocess.run([sys.executable, str(CHILD), *arguments], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]
    return json.loads(made.stdout.rpartition("FOUND ")[2].splitlines()[0])


@pytest.mark.parametrize("actors", [1, 2, 4, 8, 16, 64])
def test_throughput_grows_with_the_actors(actors: int) -> None:
    found = streamed(actors, SHARDS_AN_ACTOR * actors, SECONDS_AN_IMAGE * IMAGES_A_SHARD)
    share = found["busy"]
    images_per_s = share * actors / SECONDS_AN_IMAGE
    print(
        f"\n{actors} actors: {images_per_s:.0f} images/s while all work, {100 * share:.1f} % of linear; "
        f"first shard after {found['first_s']:.0f} s, all {SHARDS_AN_ACTOR * actors} after "
        f"{found['seconds']:.0f} s, driver {found['peak_mib']:.0f} MiB"
    )
    assert found["actors"] == actors
    if actors <= 16:
        assert share >= LEAST_SHARE_OF_LINEAR


@pytest.mark.parametrize("shards", [10, 1_000, 10_000])
def test_the_driver_holds_little_whatever_the_number_of_shards(shards: int) -> None:
    found = streamed(2, shards, 0.0)
    per_s = shards / found["seconds"]
    print(
        f"\n{shards} shards x 50 products: first shard after {found['first_s']:.1f} s, all after "
        f"{found['seconds']:.0f} s ({per_s:.0f} shards/s), driver {found['peak_mib']:.0f} MiB"
    )
    assert found["peak_mib"] < 1024
