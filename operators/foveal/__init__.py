"""ENCODE, with FA: CLIP's attention is drawn to a region instead of its pixels (FALIP).

A box becomes a bump over the patch tokens it touches, and the bump is added to the class token's attention
scores in late blocks (falip spec sections 1 to 7). `settings` imports no torch, so that a plan can be made
without it; `tokens` makes masks from boxes, `tower` takes open_clip's vision transformers apart, `execution`
runs them with masks, `ablations` holds the paper's alternatives, `features` chooses between them, and
`pictures` shows the attention.
"""

from operators.foveal.settings import (
    ATTENTION,
    LAST_FOUR,
    Attention,
    FeatureMask,
    FovealAttention,
    Replacement,
    Unleash,
    layer_indices,
    needs_raw_image,
)

__all__ = [
    "ATTENTION",
    "LAST_FOUR",
    "Attention",
    "FeatureMask",
    "FovealAttention",
    "Replacement",
    "Unleash",
    "layer_indices",
    "needs_raw_image",
]
