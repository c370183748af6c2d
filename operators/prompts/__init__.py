"""DRAW: what points at a region in a picture, and what it is drawn on.

The drawings themselves are in `drawings/`: one file a family, one pure function a drawing, registered by
`visual_prompt`. What is in this folder is what they are made with. Nothing here imports torch until something
is drawn, so that a plan can be made without it; tensors arrive inside the canvas.
"""

from operators.prompts.registry import (
    Fit,
    GrayWeights,
    Parameter,
    Region,
    Space,
    VisualPrompt,
    find_prompt,
    registered_prompts,
    visual_prompt,
)

__all__ = [
    "Fit",
    "GrayWeights",
    "Parameter",
    "Region",
    "Space",
    "VisualPrompt",
    "find_prompt",
    "registered_prompts",
    "visual_prompt",
]
