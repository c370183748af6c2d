"""FALIP's settings: layer sets, refusals, and that they enter fingerprints whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from operators.foveal import (
    Attention,
    FeatureMask,
    FovealAttention,
    Replacement,
    Unleash,
    layer_indices,
    needs_raw_image,
)


@pytest.mark.parametrize(
    ("layers", "depth", "expected"),
    [
        ("9-12", 12, {8, 9, 10, 11}),
        ("last4", 12, {8, 9, 10, 11}),
        ("last4", 24, {20, 21, 22, 23}),
        ("last4", 2, {0, 1}),
        ("ge9", 24, set(range(8, 24))),
        ("12", 12, {11}),
        ("1", 12, {0}),
        ("1-6", 12, set(range(6))),
        ("1, 3-4", 12, {0, 2, 3}),
    ],
)
def test_layer_sets(layers: str, depth: int, expected: set[int]) -> None:
    assert layer_indices(layers, depth) == expected


@pytest.mark.parametrize("layers", ["", "0", "4-", "last0", "ge", "all", "1,,2", "-3"])
def test_layer_sets_that_say_nothing(layers: str) -> None:
    with pytest.raises(ValueError, match=r"none of 12, 9-12, last4, ge9"):
        layer_indices(layers, 12)
    with pytest.raises(ValidationError, match=r"none of 12, 9-12, last4, ge9"):
        FovealAttention(layers=layers)


@pytest.mark.parametrize("layers", ["13", "9-13", "ge13", "12-9"])
def test_blocks_that_the_model_does_not_have(layers: str) -> None:
    with pytest.raises(ValueError, match=r"no blocks \d+ to \d+ in a model with blocks 1 to 12"):
        layer_indices(layers, 12)


def test_published_defaults() -> None:
    setting = FovealAttention()
    assert (setting.alpha, setting.sigma_tokens, setting.form, setting.layers) == (0.2, 100.0, "a", "last4")
    with pytest.raises(ValidationError):
        FovealAttention(alpha=0)
    with pytest.raises(ValidationError):
        FovealAttention(form="d")


def test_every_setting_survives_json() -> None:
    settings = [
        FovealAttention(alpha=0.3),
        Unleash(mode="propagate"),
        Replacement(taken_from_raw="qk", foveal=FovealAttention()),
        FeatureMask(weights="bump"),
    ]
    adapter = TypeAdapter(Attention)
    assert [adapter.validate_python(s.model_dump(mode="json")) for s in settings] == settings
    assert [needs_raw_image(s) for s in settings] == [False, True, True, False]


def test_settings_need_no_torch() -> None:
    code = "import sys, operators.foveal; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
