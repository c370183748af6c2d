"""Why a checkpoint does not fit a SAM architecture, in words: the likely cause, from its names and sizes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

# Width of the image encoder, which the three published sizes differ in.
WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
MARKS = {
    "mask_decoder.hf_token.weight": "SAM-HQ, whose decoder has parts that SAM has not",
    "image_encoder.patch_embed.seq.0.c.weight": "MobileSAM, whose image encoder is another network",
    "sam_mask_decoder.iou_token.weight": "SAM 2",
    "image_encoder.trunk.pos_embed": "SAM 2",
    "vision_encoder.pos_embed": "the transformers library's layout, which segment-anything does not read",
}


def likely_cause(state: Mapping[str, Tensor]) -> str:
    """Return a sentence about what a state dict seems to be; empty if nothing is recognised."""
    for name, what in MARKS.items():
        if name in state:
            return f"this is {what}"
    embedding = state.get("image_encoder.patch_embed.proj.weight")
    width = embedding.shape[0] if embedding is not None and embedding.ndim == 4 else 0
    return f"by its width this is a {WIDTHS[width]}" if width in WIDTHS else ""
