"""Models built without random values: everything that is no parameter is as ever."""

from __future__ import annotations

import json

import pytest
import tiny_models
import torch
from torch import nn

from operators.encode.encoders.open_clip import build_clip
from operators.weights.unset import unset_parameters


def test_no_random_values_are_drawn() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with unset_parameters():
        nn.Linear(50, 60)
        nn.MultiheadAttention(16, 2)
        nn.Conv2d(3, 4, 5)
        nn.init.trunc_normal_(torch.empty(9))
        torch.randn(4, 4)
        torch.empty(5).normal_()
        nn.init.normal_(tensor=torch.empty(5))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("model", ["vit", "resnet", "sam"])
def test_a_loaded_model_is_the_same(model: str) -> None:
    def built() -> nn.Module:
        if model == "sam":
            return tiny_models.build_sam()
        return build_clip(json.dumps({"vit": tiny_models.VIT, "resnet": tiny_models.RESNET}[model]), False)

    torch.manual_seed(1)
    plain = built()
    with unset_parameters():
        bare = built()
    bare.load_state_dict(plain.state_dict())
    theirs = dict([*plain.named_parameters(), *plain.named_buffers()])
    ours = dict([*bare.named_parameters(), *bare.named_buffers()])
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        assert torch.equal(value, ours[name]), name
