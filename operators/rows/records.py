"""Arrow schemas of everything that is stored: the only definition of column names.

One row is one image, from the shard to the predictions. Only plain Arrow types are used, so that pandas,
polars and DuckDB read every file without Ray.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from operators.pixels.geometry import INVALID
from operators.rows.fingerprint import FINGERPRINT_CHARS, canonical_json

OK = "ok"
QUARANTINED = "quarantined"

# Footer of features and text parts: exp(logit_scale) of the model, as decimal text.
LOGIT_SCALE = b"vpb.logit_scale"

ERROR = pa.struct([("stage", pa.string()), ("code", pa.string()), ("message", pa.string())])
RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.binary())])

REGION = pa.struct(
    [
        ("region_id", pa.int32()),
        ("box_xywh", pa.list_(pa.float64(), 4)),
        ("sources", pa.list_(pa.string())),
        ("status", pa.string()),
        ("exact_mask", RLE),
    ]
)
PROPOSAL_SET = pa.struct([("name", pa.string()), ("region_ids", pa.list_(pa.int32()))])
PARSE = pa.struct(
    [
        ("parser", pa.string()),
        ("tokens", pa.list_(pa.string())),
        ("heads", pa.list_(pa.int32())),
        ("deps", pa.list_(pa.string())),
        ("noun_chunks", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
    ]
)
EXPRESSION = pa.struct(
    [
        ("expression_id", pa.string()),
        ("split_index", pa.int32()),
        ("text", pa.string()),
        ("parse", PARSE),
        ("status", pa.string()),
        ("error", ERROR),
    ]
)
REF = pa.struct(
    [
        ("ref_id", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("target_region_ids", pa.list_(pa.int32())),
        ("expressions", pa.list_(EXPRESSION)),
    ]
)

IMAGE_ROW = pa.schema(
    [
        ("image_key", pa.string()),
        ("image", pa.binary()),
        ("image_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("regions", pa.list_(REGION)),
        ("proposal_sets", pa.list_(PROPOSAL_SET)),
        ("refs", pa.list_(REF)),
        ("status", pa.string()),
        ("error", ERROR),
    ]
)

BANK = pa.schema([("expression_id", pa.string()), ("text", pa.string()), ("parse", PARSE)])

MASKS = pa.schema([("image_key", pa.string()), ("masks", pa.list_(RLE)), ("error", ERROR)])

PREDICTION = pa.struct(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("ref_id", pa.string()),
        ("expression_id", pa.string()),
        ("candidate_region_ids", pa.list_(pa.int32())),
        ("scores", pa.list_(pa.float32())),
        ("probabilities", pa.list_(pa.float32())),
        ("predicted_region_id", pa.int32()),
        ("correct", pa.bool_()),
        ("status", pa.string()),
        ("error", ERROR),
    ]
)
PREDICTIONS = pa.schema([("image_key", pa.string()), ("predictions", pa.list_(PREDICTION))])


def features_schema(dimensions: int) -> pa.Schema:
    """Return the schema of a features part: one unnormalised vector a region, null where there is none."""
    vector = pa.list_(pa.float32(), dimensions)
    return pa.schema([("image_key", pa.string()), ("features", pa.list_(vector)), ("error", ERROR)])


def text_features_schema(dimensions: int) -> pa.Schema:
    """Return the schema of a text part: row i is the unnormalised vector of line i of a caption bank."""
    return pa.schema([("text", pa.string()), ("feature", pa.list_(pa.float32(), dimensions))])


def valid_regions(row: dict[str, Any]) -> list[int]:
    """Return the numbers of the regions of an image row that can be candidates."""
    return [i for i, region in enumerate(row["regions"]) if region["status"] != INVALID]


def error(stage: str, code: str, message: str) -> dict[str, str]:
    """Build an error record: where it was found, a stable code such as `image.truncated`, and the details."""
    return {"stage": stage, "code": code, "message": message}


def found_in_shard(problem: dict[str, str]) -> bool:
    """Say whether an error follows from the shard alone, so that trying again cannot help."""
    return problem["stage"] == "prepare" or problem["code"].startswith("regions.")


def image_digest(rows: pa.Table) -> str:
    """Hash what masks and features depend on: ordered keys, image bytes, boxes and exact masks.

    Args:
        rows: a table of `IMAGE_ROW`.

    Returns:
        12 hex digits.
    """
    return _digest(
        [
            [
                row["image_key"],
                row["image_sha256"],
                row["status"],
                [[_box_text(r["box_xywh"]), _rle_text(r["exact_mask"])] for r in row["regions"]],
            ]
            for row in rows.select(["image_key", "image_sha256", "status", "regions"]).to_pylist()
        ]
    )


def row_digest(rows: pa.Table) -> str:
    """Hash what predictions depend on: `image_digest` and also references, parses and proposal sets."""
    rest = rows.select(["refs", "proposal_sets"]).to_pylist()
    return _digest([image_digest(rows), rest])


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:FINGERPRINT_CHARS]


def _box_text(box_xywh: list[float]) -> str:
    """Boxes may hold NaN, which JSON cannot say."""
    return " ".join(repr(float(v)) for v in box_xywh)


def _rle_text(rle: dict[str, Any] | None) -> str | None:
    return None if rle is None else f"{rle['size']} {rle['counts'].hex()}"
