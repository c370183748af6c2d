"""What a checkpoint that does not fit seems to be."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch

from operators.encode.clip_causes import likely_cause


def state_of(architecture: str) -> dict[str, torch.Tensor]:
    """Names and shapes of a real architecture, without memory."""
    config: Any = open_clip.get_model_config(architecture)
    with torch.device("meta"):
        return open_clip.CLIP(**config).state_dict()


@pytest.mark.parametrize("architecture", ["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"])
def test_the_architecture_is_recognised_by_its_sizes(architecture: str) -> None:
    names = likely_cause(state_of(architecture)).removeprefix("by its sizes this is a ").split(" or ")
    assert architecture in names


def test_foreign_layouts_are_named() -> None:
    one = torch.zeros(1)
    transformers = {"vision_model.embeddings.class_embedding": one, "text_projection.weight": one}
    assert "layout of the transformers library" in likely_cause(transformers)
    assert "Alpha-CLIP" in likely_cause(state_of("ViT-B-16") | {"visual.conv1_alpha.weight": one})
    assert likely_cause({"backbone.layer1.weight": one}) == ""
