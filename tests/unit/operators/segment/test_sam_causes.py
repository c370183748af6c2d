"""What a checkpoint that does not fit seems to be."""

from __future__ import annotations

import pytest
import torch

from operators.segment.sam_architectures import PUBLISHED, build_sam
from operators.segment.sam_causes import likely_cause

ONE = torch.zeros(1)


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_the_size_is_recognised(architecture: str) -> None:
    assert (
        likely_cause(build_sam(architecture, "meta").state_dict()) == f"by its width this is a {architecture}"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mask_decoder.hf_token.weight", "SAM-HQ"),
        ("image_encoder.patch_embed.seq.0.c.weight", "MobileSAM"),
        ("sam_mask_decoder.iou_token.weight", "SAM 2"),
        ("vision_encoder.pos_embed", "the transformers library"),
    ],
)
def test_other_members_of_the_family_are_named(name: str, told: str) -> None:
    assert told in likely_cause({name: ONE})
    assert likely_cause({"something.else": ONE}) == ""
