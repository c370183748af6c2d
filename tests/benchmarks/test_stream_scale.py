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


@pytest.mark.parametrize("images_a_shard", [32, 256])
def test_ten_million_pictures_on_64_gpus(images_a_shard: int, tmp_path: Path) -> None:
    """An estimate from what is measured here, on this machine: what takes how long, and what breaks first."""
    pictures, gpus, products = 10_000_000, 64, 50
    few, many = streamed(2, 1_000, 0.0), streamed(2, 10_000, 0.0)
    shards = pictures // images_a_shard
    command = [sys.executable, str(CHILD.with_name("recount_at_scale.py")), str(tmp_path), "500"]
    recount = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    hours = {
        "models, 70 ms a picture": pictures * SECONDS_AN_IMAGE / gpus / 3600,
        "Ray's loop in the driver": shards * many["seconds"] / 10_000 / 3600,
        f"recounting {products} products once": shards * products * recount["read_s"] / 500 / 3600,
    }
    mib = few["peak_mib"] + (many["peak_mib"] - few["peak_mib"]) / 9_000 * shards
    lines = [f"{name}: {value:.1f} h" for name, value in hours.items()]
    told = "; ".join(lines)
    print(f"\n{pictures} pictures in shards of {images_a_shard} on {gpus} GPUs, estimated: {told}")
    print(f"driver {mib / 1024:.1f} GiB; what breaks first: {max(hours, key=lambda name: hours[name])}")
    assert min(hours.values()) > 0 and mib > few["peak_mib"]
