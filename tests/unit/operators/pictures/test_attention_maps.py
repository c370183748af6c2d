"""Pictures of attention before and after the mask: their layout, their scale, and what the mask does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_models
from PIL import Image

from operators.encode.encoders.open_clip import ClipModel
from operators.encode.views import ImageViews
from operators.foveal import FovealAttention, Unleash
from operators.methods.models import Encoder, Weights
from operators.methods.variants import Variant, variant
from operators.pictures.attention_maps import attention_pictures, attention_sheet

SIZE_WH = (80, 64)
BOXES_XYWH = np.array([[0.0, 0.0, 20.0, 16.0], [40.0, 32.0, 40.0, 32.0]])
EXTRA = 3.0


@pytest.fixture(scope="module")
def model(tiny_vit: str) -> ClipModel:
    weights = Weights(source="/x", sha256="0" * 64, label="tiny")
    architecture = json.dumps(tiny_models.VIT)
    encoder = Encoder(name="tiny", architecture=architecture, weights=weights, quick_gelu=False)
    return ClipModel(encoder, f"{tiny_vit}/open_clip_model.safetensors", "cpu")


def raw(**settings: object) -> Variant:
    return variant("raw").attended(FovealAttention(**settings))


def found(model: ClipModel, drawing: Variant, regions: int = 9):
    black = Image.new("RGB", SIZE_WH)
    views = ImageViews(black, BOXES_XYWH)
    return attention_pictures(model, views, drawing, regions)


def test_a_picture_a_region(model: ClipModel) -> None:
    pictures = found(model, raw())
    assert pictures.blocks == [1, 2] and found(model, raw(layers="2")).blocks == [2]
    for overlays in pictures.columns().values():
        assert [overlay.shape for overlay in overlays] == [(64, 80, 3)] * 2
    assert len(found(model, raw(), regions=1).after) == 1


def test_the_mask_draws_attention_to_the_box(model: ClipModel) -> None:
    pictures = found(model, raw(alpha=EXTRA))
    for (left, top, width, height), before, after in zip(
        BOXES_XYWH.astype(int), pictures.before, pictures.after, strict=True
    ):
        x, y = left + width // 2, top + height // 2
        assert after[y, x, 1] > before[y, x, 1] + 20  # green is bright, blue is dark
    for (left, top, *_), gained in zip(BOXES_XYWH.astype(int), pictures.gained, strict=True):
        inside, opposite = gained[top + 8, left + 10, 1], gained[(top + 40) % 64, (left + 50) % 80, 1]
        assert inside > opposite + 20


def test_without_effect_both_are_equal(model: ClipModel) -> None:
    pictures = found(model, raw(alpha=1e-9, form="b"))
    for before, after in zip(pictures.before, pictures.after, strict=True):
        assert np.array_equal(before, after)


def test_the_sheet_has_three_pictures_a_region(model: ClipModel) -> None:
    one, two = (found(model, raw(), regions=regions) for regions in (1, 2))
    small, large = attention_sheet({"I+FA": one}), attention_sheet({"I+FA": two})
    assert len(small) == len(large) and 1.9 < large.shape[1] / small.shape[1] < 2
    both = attention_sheet({"I+FA": two, "I+FA(layers=2)": found(model, raw(layers="2"))})
    assert both.shape == (2 * len(large), *large.shape[1:]) and (both[: len(large)] == large).all()


def test_without_a_mask_there_is_nothing_to_show(model: ClipModel) -> None:
    with pytest.raises(ValueError, match=r"I\+unleash: no foveal mask"):
        found(model, variant("raw").attended(Unleash()))
