"""Settings of attention as frozen values: FALIP's foveal mask and the paper's alternatives to it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from operators.rows.fingerprint import Value

# Table 12's best choice for ViT-B/16 is 9-12; for other depths the paper says "last 4 layers".
LAST_FOUR = "last4"
_LAYERS = re.compile(r"last(?P<last>[1-9]\d*)|ge(?P<least>[1-9]\d*)|(?P<low>[1-9]\d*)(-(?P<high>[1-9]\d*))?")


def layer_indices(layers: str, depth: int) -> frozenset[int]:
    """Return the zero-based blocks that a layer set stands for in a transformer of some depth.

    Args:
        layers: parts joined by commas, each `9-12` or `12` (counted from 1, both ends included), `last4` (all
            blocks of a shallower model), or `ge9` (block 9 and all later ones).
        depth: number of blocks.

    Raises:
        ValueError: for other text, or for a block that the model does not have.
    """
    chosen: set[int] = set()
    for part in layers.replace(" ", "").split(","):
        found = _LAYERS.fullmatch(part)
        if found is None:
            raise ValueError(f"layers {layers!r}: {part!r} is none of 12, 9-12, last4, ge9")
        last, least, low, high = (int(v) if v else None for v in found.group("last", "least", "low", "high"))
        first = max(depth - last, 0) + 1 if last else least or low or 1
        end = high or low or depth
        if not first <= end <= depth:
            raise ValueError(
                f"layers {layers!r}: no blocks {first} to {end} in a model with blocks 1 to {depth}"
            )
        chosen.update(range(first - 1, end))
    return frozenset(chosen)


def _readable(layers: str) -> str:
    for part in layers.split(","):
        low, _, high = part.partition("-")
        if low.strip().isdigit() and high.strip().isdigit() and int(low) > int(high):
            raise ValueError(f"layers {layers!r}: {part!r} ends before it begins")
    layer_indices(layers, depth=10**6)
    return layers


Layers = Annotated[str, AfterValidator(_readable)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FovealAttention(Value):
    """The foveal mask with its published settings (falip spec sections 2 to 5, paper equations 1 to 4).

    Attributes:
        alpha: height of the bump, added to scaled attention scores.
        sigma_tokens: width of the Gaussian before it is stretched to 0 .. alpha.
        form: `a` puts the bump into the class token's row, `b` into every row, `c` on the diagonal (Table 6).
        layers: blocks that get the mask, see `layer_indices`.
        enlarge_px: growth of the box on every side, pixels of the image, clamped to it.
    """

    kind: Literal["foveal"] = "foveal"
    alpha: Positive = 0.2
    sigma_tokens: Positive = 100.0
    form: Literal["a", "b", "c"] = "a"
    layers: Layers = LAST_FOUR
    enlarge_px: NotNegative = 0.0


class Unleash(Value):
    """Twice the class token's attention output on the drawing minus that on the raw image (section 7.1).

    Attributes:
        mode: `direct` adds the differences of two unmodified passes to the final class token, `propagate`
            overwrites the output in every block and goes on.
        layers: blocks whose outputs are taken, see `layer_indices`.
    """

    kind: Literal["unleash"] = "unleash"
    mode: Literal["direct", "propagate"] = "direct"
    layers: Layers = LAST_FOUR


class Replacement(Value):
    """Queries and keys of one picture with the values of another, in all blocks (section 7.2, Figure 7).

    Attributes:
        taken_from_raw: `v` for values of the raw image under the drawing's attention weights (7b), `qk` for
            the drawing's values under the raw image's queries and keys (7c).
        foveal: mask on top; the paper's 7c has one.
    """

    kind: Literal["replacement"] = "replacement"
    taken_from_raw: Literal["v", "qk"]
    foveal: FovealAttention | None = None


class FeatureMask(Value):
    """Patch tokens multiplied by a mask after the embedding; the class token is kept (section 7.3).

    Attributes:
        weights: `inside` is 1 in the box and 0 outside, `bump` the foveal bump divided by its height.
        enlarge_px: growth of the box on every side, pixels of the image, clamped to it.
    """

    kind: Literal["feature_mask"] = "feature_mask"
    weights: Literal["inside", "bump"] = "inside"
    enlarge_px: NotNegative = 0.0


Attention = Annotated[
    FovealAttention | Unleash | Replacement | FeatureMask,
    Field(discriminator="kind"),
]


# How attention is written after a drawing: `I+FA(alpha=0.3,layers=9-12)`.
ATTENTION: dict[str, type[FovealAttention] | type[Unleash] | type[Replacement] | type[FeatureMask]] = {
    "FA": FovealAttention,
    "unleash": Unleash,
    "exchange": Replacement,
    "feature_mask": FeatureMask,
}


def needs_raw_image(attention: Attention) -> bool:
    """Say whether the raw image is encoded beside the drawing."""
    return isinstance(attention, Unleash | Replacement)
