"""How CLIP was trained to see: mean and standard deviation of its input, and the filters of its squares."""

from __future__ import annotations

from typing import Literal

# Per channel RGB, of values in 0..1.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Filter = Literal["bilinear", "bicubic"]
