"""Recounts a product over so many shards, twice, and prints what that took as a line of JSON.

python recount_at_scale.py ARTIFACTS SHARDS
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa
from plan_at_scale import SPLIT, plan

from infra.dataset.shards import Shard
from infra.run.artifacts import ArtifactStore
from infra.run.counting import Recount
from operators.rows.read_ahead import read_ahead
from operators.rows.records import PREDICTIONS

REGIONS, EXPRESSIONS = 8, 5


def part(shard: Shard) -> pa.Table:
    """Return predictions of a shard's usual size."""
    rows = [
        {
            "image_key": f"{shard.index}-{image}",
            "predictions": [
                {
                    "dataset": SPLIT.dataset,
                    "split": SPLIT.split,
                    "ref_id": str(number),
                    "expression_id": f"{shard.index}-{image}-{number}",
                    "candidate_region_ids": list(range(REGIONS)),
                    "correct": number % 2 == 0,
                    "status": "ok",
                }
                for number in range(EXPRESSIONS)
            ],
        }
        for image in range(shard.images)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTIONS)


def main(root: str, shards: int) -> None:
    """Write the parts, count them, and count them again."""
    made = plan(root, shards)
    product = made.predictions[0]
    list(read_ahead(lambda s: made.store.put(made.address(product, s), part(s)), made.shards))
    found = {}
    for name in ("read_s", "remembered_s"):
        fresh = replace(made, store=ArtifactStore(root))
        began_s = time.perf_counter()
        counts, _ = Recount(fresh).count(product)
        found[name] = time.perf_counter() - began_s
        assert counts[SPLIT.dataset, SPLIT.split].ok == shards * made.shards[0].images * EXPRESSIONS
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
