"""Tiny open_clip models with random weights, in open_clip's own folder layout."""

from __future__ import annotations

import json
from pathlib import Path

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": TEXT,
}
RESNET = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 96, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "text_cfg": TEXT,
}


def write_clip(folder: Path, config: dict, seed: int) -> str:
    """Write a model folder and return its path."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    model = open_clip.CLIP(**json.loads(json.dumps(config)))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return str(folder)


SAM = {
    "image_size": 128,
    "width": 32,
    "depth": 2,
    "heads": 2,
    "global_layers": [1],
    "window_size": 3,
    "channels": 32,
    "patch_size": 16,
}


def build_sam():
    """Build the tiny SAM straight from segment-anything's classes."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    side, width = SAM["image_size"], SAM["channels"]
    grid = side // SAM["patch_size"]
    encoder = ImageEncoderViT(
        img_size=side,
        patch_size=SAM["patch_size"],
        embed_dim=SAM["width"],
        depth=SAM["depth"],
        num_heads=SAM["heads"],
        out_chans=width,
        use_rel_pos=True,
        window_size=SAM["window_size"],
        global_attn_indexes=SAM["global_layers"],
    )
    prompts = PromptEncoder(
        embed_dim=width, image_embedding_size=(grid, grid), input_image_size=(side, side), mask_in_chans=16
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=width, mlp_dim=2 * width, num_heads=2)
    return Sam(encoder, prompts, MaskDecoder(transformer_dim=width, transformer=transformer)).eval()


def write_sam(folder: Path, seed: int) -> str:
    """Write a folder with the tiny SAM, random weights, and return its path."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    sam = build_sam()
    for name, value in sam.named_parameters():
        if name.endswith(("rel_pos_h", "rel_pos_w", "pos_embed")):
            torch.nn.init.normal_(value, std=0.1)  # zero as built, which would leave their use untested
    state = {name: value.contiguous() for name, value in sam.state_dict().items()}
    save_file(state, folder / "sam_model.safetensors")
    (folder / "sam_config.json").write_text(json.dumps(SAM))
    return str(folder)
