"""Encoders that cannot have the attention of a method are refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_models

from infra.errors import InputError
from infra.weights.checkpoint_check import check_attention
from operators.foveal import Attention, FeatureMask, FovealAttention, Replacement, Unleash
from operators.methods.method import Method
from operators.methods.models import Encoder, Weights
from operators.methods.products import Predictions
from operators.methods.variants import variant

AVERAGED = tiny_models.VIT | {"vision_cfg": tiny_models.VIT["vision_cfg"] | {"pool_type": "avg"}}
DEEP = FovealAttention(layers="9-12")


def asked(config: dict, attention: Attention | None) -> Predictions:
    """A product whose second drawing has an attention setting; its weights are nowhere."""
    weights = Weights(source=str(Path("/nowhere")), sha256="0" * 64, label="tiny")
    encoder = Encoder(name="tiny-net", architecture=json.dumps(config), weights=weights, quick_gelu=False)
    variants = (variant("crop"), variant("raw").attended(attention))
    return Predictions(
        method=Method(name="mine", variants=variants),
        encoders=(encoder,),
        proposals="gold",
        splits=(("refcoco", "val", ""),),
    )


@pytest.mark.parametrize(
    "attention",
    [
        None,
        FovealAttention(),
        FovealAttention(layers="ge2"),
        Unleash(layers="1-2"),
        Replacement(taken_from_raw="v"),
        FeatureMask(),
    ],
)
def test_a_class_token_and_enough_blocks_are_all_that_is_needed(attention: Attention | None) -> None:
    assert check_attention([asked(tiny_models.VIT, attention)]) is None


@pytest.mark.parametrize(
    ("config", "attention", "lacks"),
    [
        (tiny_models.RESNET, FovealAttention(), "ModifiedResNet"),
        (tiny_models.RESNET, FeatureMask(), "ModifiedResNet"),
        (AVERAGED, FovealAttention(), "pools with 'avg'"),
        (tiny_models.VIT, DEEP, "no blocks 9 to 12 in a model with blocks 1 to 2"),
        (tiny_models.VIT, Unleash(layers="ge3"), "no blocks 3 to 2"),
        (tiny_models.VIT, Replacement(taken_from_raw="qk", foveal=DEEP), "no blocks 9 to 12"),
    ],
)
def test_what_an_encoder_lacks_is_named(config: dict, attention: Attention, lacks: str) -> None:
    with pytest.raises(InputError, match=r"^method 'mine', encoder tiny-net: ") as caught:
        check_attention([asked(tiny_models.VIT, FovealAttention()), asked(config, attention)])
    assert lacks in str(caught.value)


def test_a_resnet_without_attention_is_welcome() -> None:
    assert check_attention([asked(tiny_models.RESNET, None)]) is None
