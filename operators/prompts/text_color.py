"""EXTENSION: a colour made from a caption (`D2(mask_color=text)`). No published number uses it.

A picture drawn with such a colour depends on the caption, so its features cannot be stored per image: the
preview draws, encodes and scores them on the spot, the benchmark refuses them. Source: visual_prompts spec
section 12 (mode `text`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
XYZ_TO_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.969266, 1.8760108, 0.041556],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def text_color(embedding: NDArray[np.floating], seed: int = 0) -> str:
    """Return the colour of a caption as "r,g,b": its embedding, projected at random onto L*, a* and b*.

    Args:
        embedding: of the caption, (D,), of any length.
        seed: of the projection, three rows of standard normal numbers.

    Raises:
        ValueError: if the embedding is not one finite vector other than zero.
    """
    vector = np.asarray(embedding, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise ValueError(f"expected one finite text embedding (D,), got {vector.shape}")
    projection = np.random.RandomState(seed).standard_normal((3, len(vector)))
    bent = np.tanh(projection @ (vector / np.linalg.norm(vector)))
    rgb = lab_to_rgb(np.array([50.0, 0.0, 0.0]) + np.array([25.0, 80.0, 80.0]) * bent)
    return ",".join(str(int(level)) for level in rgb)


def lab_to_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert CIELAB (D65) to sRGB levels 0..255, clipped and rounded."""
    y = (lab[0] + 16) / 116
    f = np.array([y + lab[1] / 500, y, y - lab[2] / 200])
    xyz = WHITE_D65 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip(XYZ_TO_RGB @ xyz, 0, 1)
    levels = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    rounded: NDArray[np.float64] = np.rint(255 * levels)
    return rounded
