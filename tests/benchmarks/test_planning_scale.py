"""Planning of up to 10,000 shards x 50 products, and recounting, on an S3 server that takes 30 ms a call.

pytest -m benchmarks -s tests/benchmarks/test_planning_scale.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import slow_s3
from slow_s3 import SlowS3

pytestmark = [pytest.mark.benchmarks, pytest.mark.timeout(1000)]

LATENCY_S = 0.03
PRODUCTS, MOST_S, MOST_MIB = 50, 20, 1024
HERE = Path(__file__).parent
PARTS = 2_000


@pytest.fixture(scope="module")
def s3() -> Iterator[SlowS3]:
    with slow_s3.running(LATENCY_S) as server:
        yield server


def child(s3: SlowS3, script: str, *arguments: str) -> dict:
    environment = os.environ | {
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    made = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], env=environment, stdout=-1, check=True
    )
    return json.loads(made.stdout)


@pytest.mark.parametrize("shards", [10, 1_000, 10_000])
@pytest.mark.parametrize("done", ["nothing", "half", "everything"])
def test_planning(s3: SlowS3, shards: int, done: str) -> None:
    root = f"s3://{slow_s3.BUCKET}/{shards}-{done}"
    known = child(s3, "plan_at_scale.py", root, str(shards), "--folders")
    count = {"nothing": 0, "half": shards // 2, "everything": shards}[done]
    place = root.removeprefix(f"s3://{slow_s3.BUCKET}/")
    s3.fill({f"{place}/{folder}": known["names"][:count] for folder in known["folders"]})
    s3.calls()
    found = child(s3, "plan_at_scale.py", root, str(shards))
    calls = s3.calls()
    print(
        f"\n{shards} shards x {found['products']} products, {done} done: {found['seconds']:.1f} s of which "
        f"{found['cpu_s']:.1f} s CPU, peak {found['peak_mib']:.0f} MiB, "
        f"plan as sent {found['plan_mib']:.1f} MiB, calls {calls}"
    )
    assert found["products"] == PRODUCTS and found["pending"] == shards - count
    assert found["seconds"] < MOST_S and found["peak_mib"] < MOST_MIB


def test_recounting(s3: SlowS3) -> None:
    root = f"s3://{slow_s3.BUCKET}/recount"
    found = child(s3, "recount_at_scale.py", root, str(PARTS))
    calls = s3.calls()
    print(
        f"\n{PARTS} parts recounted: {PARTS / found['read_s']:.0f} parts/s; once more without a change: "
        f"{found['remembered_s']:.2f} s; calls with those that wrote the parts {calls}"
    )
    # Every part is written and read once; beyond that there are two listings and a memory for each count.
    assert calls == {"PUT": PARTS + 1, "GET": PARTS + 1, "LIST": calls["LIST"]} and calls["LIST"] < 20
