"""SAM's architectures: the published three, and smaller ones described by a few numbers."""

from __future__ import annotations

import json

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

PUBLISHED = ("vit_b", "vit_l", "vit_h")


class SamShape(BaseModel):
    """The sizes of a small SAM.

    Attributes:
        image_size: side of the square frame, pixels; a multiple of `patch_size`.
        width: channels of the image encoder.
        depth: its blocks.
        heads: attention heads of a block.
        global_layers: blocks that attend to the whole frame; the others attend within windows.
        window_size: side of a window in patches.
        channels: of the image embedding, the prompts and the decoder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int
    width: int
    depth: int
    heads: int
    global_layers: tuple[int, ...]
    window_size: int = 7
    channels: int = 64
    patch_size: int = 16


def build_sam(architecture: str, device: str = "cpu") -> Sam:
    """Build a SAM without weights; on `meta` nothing is allocated.

    Args:
        architecture: `vit_b`, `vit_l`, `vit_h`, or a `SamShape` as JSON.
        device: where the parameters are made.

    Raises:
        ValueError: for anything else.
    """
    with torch.device(device):
        if architecture in PUBLISHED:
            return sam_model_registry[architecture](checkpoint=None)
        try:
            return _build(SamShape.model_validate(json.loads(architecture)))
        except (ValidationError, json.JSONDecodeError) as problem:
            known = ", ".join(PUBLISHED)
            raise ValueError(f"unknown SAM architecture {architecture!r}; known: {known}") from problem


def _build(shape: SamShape) -> Sam:
    grid = shape.image_size // shape.patch_size
    encoder = ImageEncoderViT(
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        out_chans=shape.channels,
        use_rel_pos=True,
        window_size=shape.window_size,
        global_attn_indexes=shape.global_layers,
    )
    prompts = PromptEncoder(
        embed_dim=shape.channels,
        image_embedding_size=(grid, grid),
        input_image_size=(shape.image_size, shape.image_size),
        mask_in_chans=16,
    )
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=shape.channels, mlp_dim=2 * shape.channels, num_heads=2
    )
    decoder = MaskDecoder(transformer_dim=shape.channels, transformer=transformer)
    return Sam(image_encoder=encoder, prompt_encoder=prompts, mask_decoder=decoder)
