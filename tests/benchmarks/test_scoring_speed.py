"""CPU time and memory of scoring a whole split with R and S from stored features.

pytest -m benchmarks -s tests/benchmarks/test_scoring_speed.py

10,834 expressions (RefCOCO val) of 1,500 images with 10 regions each, 4 variants, 2 encoders of 768
dimensions. Every (variant, encoder) has one stored part that serves all shards: reading is measured, and the
disk is not filled.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.methods.method import baseline, prompted
from operators.methods.models import Encoder, Weights
from operators.methods.products import Predictions, Product, Texts
from operators.relations import texts_needed
from operators.rows.records import ERROR, IMAGE_ROW, LOGIT_SCALE, features_schema, text_features_schema
from operators.score.operator import ScoreExpressions

EXPRESSIONS, IMAGES, REGIONS, DIMENSIONS, IMAGES_PER_SHARD = 10_834, 1_500, 10, 768, 32
SPLIT = ("refcoco", "val", "bank")
MOST_CPU_S, MOST_MIB = 60, 2_000
# Four drawings under two encoders of the published size.
PRODUCT = Predictions(
    method=baseline("P|C1|C3|C4,RS"),
    encoders=tuple(
        Encoder(
            name=name,
            architecture=name,
            weights=Weights(source="/nowhere", sha256="0" * 64, label="random"),
            quick_gelu=True,
        )
        for name in ("ViT-L-14-336", "RN50x16")
    ),
    proposals="gold",
    splits=(SPLIT,),
)
# Text, heads and noun chunks: a relation, a superlative, one of each kind without a keyword, and a plain one.
WORDINGS = [
    ("man{} to the left of the dog{}", [0, 0, 3, 1, 3, 6, 4], [(0, 1), (2, 4), (5, 7)]),
    ("the biggest cow{}", [2, 2, 2], [(0, 3)]),
    ("woman{} in red shirt{} behind a car{}", [0, 0, 3, 1, 0, 6, 4], [(0, 1), (2, 4), (5, 7)]),
    ("plain cat{} with hat", [1, 1, 1, 2], [(0, 2), (3, 4)]),
]


@pytest.mark.timeout(3000)
def test_a_whole_split_is_scored_in_a_minute_of_cpu(tmp_path: Path) -> None:
    store(PRODUCT, tmp_path)
    # In a process of its own, whose peak memory is that of scoring.
    here = Path(__file__)
    code = f"import {here.stem}; {here.stem}.measure({str(tmp_path)!r})"
    places = f"{here.parents[2]}:{here.parent}"
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    spent = json.loads(finished.stdout)
    print(f"\n{PRODUCT.method.name} of a whole split: {spent}")
    assert spent["expressions"] == EXPRESSIONS
    assert spent["cpu_s"] < MOST_CPU_S and spent["peak_mib"] < MOST_MIB


def expressions() -> list[tuple[str, dict]]:
    """Return texts with parses, all different."""
    made = []
    for number in range(EXPRESSIONS):
        words, heads, chunks = WORDINGS[number % len(WORDINGS)]
        text = words.replace("{}", str(number))
        spans = [{"start": start, "end": end} for start, end in chunks]
        parse = {"parser": "by hand", "tokens": text.split(), "heads": heads, "noun_chunks": spans}
        made.append((text, parse | {"deps": [""] * len(heads)}))
    return made


def shards() -> list[pa.Table]:
    """Return the rows of all images, without pictures."""
    dice, bank = np.random.RandomState(0), expressions()
    ends = np.linspace(0, EXPRESSIONS, IMAGES + 1).round().astype(int)
    rows = []
    for image, (start, end) in enumerate(pairwise(ends)):
        boxes = np.hstack([dice.uniform(0, 300, (REGIONS, 2)), dice.uniform(20, 200, (REGIONS, 2))])
        asked = [
            {"expression_id": str(i), "split_index": i, "text": text, "parse": parse, "status": "ok"}
            for i, (text, parse) in enumerate(bank[start:end], start=start)
        ]
        ref = {"ref_id": str(image), "dataset": SPLIT[0], "split": SPLIT[1], "target_region_ids": [0]}
        regions = [
            {"region_id": i, "box_xywh": list(box), "sources": [], "status": "ok"}
            for i, box in enumerate(boxes)
        ]
        rows.append(
            {
                "image_key": f"{image:05d}",
                "image": b"",
                "image_sha256": "",
                "width": 640,
                "height": 480,
                "regions": regions,
                "proposal_sets": [{"name": "gold/refcoco", "region_ids": list(range(REGIONS))}],
                "refs": [ref | {"expressions": asked}],
                "status": "ok",
            }
        )
    cuts = range(0, IMAGES, IMAGES_PER_SHARD)
    return [pa.Table.from_pylist(rows[cut : cut + IMAGES_PER_SHARD], schema=IMAGE_ROW) for cut in cuts]


def store(wanted: Predictions, folder: Path) -> None:
    """Write random features: of the texts all, of the images those of one shard."""
    dice, bank = np.random.RandomState(1), expressions()
    for part in (part for of_encoder in wanted.texts() for part in of_encoder):
        asked = [t for text, parse in bank for t in _texts(part, text, parse)]
        strings = [prompted(part.template, text) for text in asked]
        strings = strings if part.relations is None else list(dict.fromkeys(strings))
        columns = [pa.array(strings), _vectors(dice, len(strings))]
        table = pa.table(columns, schema=text_features_schema(DIMENSIONS))
        pq.write_table(table.replace_schema_metadata({LOGIT_SCALE: b"100.0"}), _path(folder, part))
    for feature in (feature for of_encoder in wanted.features() for feature in of_encoder):
        ends = pa.array(range(0, IMAGES_PER_SHARD * REGIONS + 1, REGIONS), pa.int32())
        lists = pa.ListArray.from_arrays(ends, _vectors(dice, IMAGES_PER_SHARD * REGIONS))
        keys = pa.array([str(i) for i in range(IMAGES_PER_SHARD)])
        schema = features_schema(DIMENSIONS)
        errors = pa.nulls(IMAGES_PER_SHARD, ERROR)
        columns = [keys, lists.cast(schema.field("features").type), errors]
        pq.write_table(pa.table(columns, schema=schema), _path(folder, feature))


def measure(folder: str) -> None:
    """Score everything and print what it took."""
    rows, found = shards(), 0
    before_s, started_s = time.process_time(), time.monotonic()
    scorer = ScoreExpressions()
    for shard in rows:
        ((_, part),) = scorer(shard, [PRODUCT], lambda p: pq.read_table(_path(Path(folder), p)))
        found += sum(len(image) for image in part.column("predictions"))
    spent = {
        "cpu_s": round(time.process_time() - before_s, 1),
        "wall_s": round(time.monotonic() - started_s, 1),
        "peak_mib": _peak_mib(),
    }
    print(json.dumps({"expressions": found, **spent}))


def _peak_mib() -> int:
    """Return this program's own peak; Linux's `ru_maxrss` begins with that of the process that started it."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "measuring memory needs Linux"
    return int(found[1]) // 1024


def _texts(part: Texts, text: str, parse: dict) -> list[str]:
    return [text] if part.relations is None else texts_needed(parse, text, part.relations)[1:]


def _vectors(dice: np.random.RandomState, count: int) -> pa.FixedSizeListArray:
    values = dice.standard_normal(count * DIMENSIONS).astype(np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values), DIMENSIONS)


def _path(folder: Path, part: Product) -> Path:
    return folder / f"{part.kind}-{part.fingerprint}.parquet"
