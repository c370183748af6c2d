"""The encoder shows every picture once, and regions under attention settings get features of their own."""

from __future__ import annotations

import io
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import tiny_models
from PIL import Image

from operators.encode.images import EncodeWithClip
from operators.foveal import FeatureMask, FovealAttention, Replacement, Unleash
from operators.methods.models import Encoder, Weights
from operators.methods.products import Features
from operators.methods.variants import Variant, variant
from operators.rows.records import IMAGE_ROW

BOXES = [[2.0, 3.0, 20.5, 14.25], [10.0, 8.0, 25.0, 20.0], [-3.0, -2.0, 12.0, 30.0], [90.0, 0.0, 5.0, 5.0]]
VALID = 3


def rows(images: int = 2) -> pa.Table:
    content = []
    for number in range(images):
        pixels = np.random.RandomState(number).randint(0, 256, (36, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
        regions = [
            {"region_id": i, "box_xywh": box, "sources": [], "status": "ok" if i < VALID else "invalid"}
            for i, box in enumerate(BOXES)
        ]
        row = {"image_key": str(number), "image": buffer.getvalue(), "width": 48, "height": 36}
        content.append({**row, "regions": regions, "refs": [], "proposal_sets": [], "status": "ok"})
    return pa.Table.from_pylist(content, schema=IMAGE_ROW)


def encoded(folder: str, drawing: Variant, **settings: int) -> tuple[np.ndarray, Counter[str]]:
    """Return features (images, valid regions, D) of the tiny model, and what was reported."""
    weights = Weights(source="/x", sha256="0" * 64, label="tiny")
    encoder = Encoder(
        name="tiny", architecture=json.dumps(tiny_models.VIT), weights=weights, quick_gelu=False
    )
    counts: Counter[str] = Counter()
    operator = EncodeWithClip(
        open_weights=lambda _: f"{folder}/open_clip_model.safetensors",
        report=lambda event, count: counts.update({event: count}),
        **settings,
    )
    product = Features(variant=drawing, encoder=encoder)
    ((_, part),) = operator(rows(), [product], lambda _: pytest.fail("nothing to load"))
    vectors = part.column("features").to_pylist()
    assert [[v is None for v in image] for image in vectors] == 2 * [[False] * VALID + [True]]
    return np.array([image[:VALID] for image in vectors], dtype=np.float32), counts


def test_the_raw_image_is_encoded_once(tiny_vit: str) -> None:
    features, counts = encoded(tiny_vit, variant("raw"))
    assert (features == features[:, :1]).all()
    assert not np.array_equal(features[0], features[1])
    assert counts == {"images encoded": 2, "views encoded": 2}


def test_pictures_that_were_decoded_ahead_give_the_same(tiny_vit: str) -> None:
    alone, ahead = (encoded(tiny_vit, variant("crop"), host_threads=threads) for threads in (0, 3))
    assert np.array_equal(alone[0], ahead[0])
    assert alone[1] == ahead[1]


def test_drawings_are_encoded_once_a_region(tiny_vit: str) -> None:
    features, counts = encoded(tiny_vit, variant("circle"))
    assert (features[:, 0] != features[:, 1]).any()
    assert counts == {"images encoded": 2, "views encoded": 2 * VALID}


@pytest.mark.parametrize(
    ("drawing", "attention", "views"),
    [
        ("raw", FovealAttention(alpha=2.0), 1),
        ("raw", FovealAttention(alpha=2.0, form="b"), 1),
        ("raw", FeatureMask(), 1),
        ("falip_circle_blur", FovealAttention(), VALID),
        ("falip_circle_blur", Unleash(), VALID + 1),
        ("falip_circle_blur", Replacement(taken_from_raw="v"), VALID + 1),
        ("falip_circle_blur", Replacement(taken_from_raw="qk", foveal=FovealAttention()), VALID + 1),
    ],
)
def test_attention_gives_every_region_features_of_its_own(
    tiny_vit: str, drawing: str, attention: FovealAttention, views: int
) -> None:
    plain, _ = encoded(tiny_vit, variant(drawing))
    drawn = variant(drawing).model_copy(update={"attention": attention})
    features, counts = encoded(tiny_vit, drawn)
    assert counts["views encoded"] == 2 * views
    assert np.abs(features - plain).max() > 1e-4
    assert np.ptp(features, axis=1).max(axis=1).min() > 1e-4
