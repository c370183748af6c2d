"""Which region belongs to which text, given how similar every pair is.

Source: paco_parts spec section 4 (step 7) and section 3 (steps 5 and 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from operators.pixels.geometry import Boxes
from operators.pixels.masks import BoolMasks, encode_masks
from operators.rows.vectors import unit

Assign = Literal["argmax", "one-to-one"]


class Pair(NamedTuple):
    """A region and the text that it was found for, by their numbers."""

    region: int
    text: int


def similarities(image_features_VND: ArrayLike, text_features_MD: ArrayLike) -> NDArray[np.float64]:
    """Return the cosine of every view and text, without a logit scale.

    Args:
        image_features_VND: of N regions in V variants, of any length.
        text_features_MD: of M texts, of any length.

    Returns:
        V x N x M; the mean over V is what regions are assigned by.
    """
    images_VND, texts_MD = (np.asarray(f, dtype=np.float64) for f in (image_features_VND, text_features_MD))
    return unit(images_VND) @ unit(texts_MD).T


def assign(similarity_NM: ArrayLike, how: Assign = "one-to-one") -> list[Pair]:
    """Assign regions to texts.

    Args:
        similarity_NM: of N regions and M texts.
        how: `argmax` gives every text its most similar region (the first of equals), whoever else has it.
            `one-to-one` gives a region to one text at most and makes min(N, M) pairs, those with the least
            sum of exp(-similarity); as published, that is not always the greatest sum of similarities.

    Returns:
        Pairs in the order of texts; none if there are no regions or no texts.

    Raises:
        ValueError: if the similarities are not a finite matrix.
    """
    similarity = np.asarray(similarity_NM, dtype=np.float64)
    if similarity.ndim != 2 or not np.isfinite(similarity).all():
        raise ValueError(f"expected finite similarities N x M, got {similarity.shape} with {similarity!r}")
    if similarity.size == 0:
        return []
    if how == "argmax":
        return [Pair(int(region), text) for text, region in enumerate(similarity.argmax(axis=0))]
    texts, regions = linear_sum_assignment(np.exp(-similarity.T))
    return [Pair(int(region), int(text)) for text, region in zip(texts, regions, strict=True)]


def result_rows(
    pairs: Sequence[Pair],
    similarity_NM: NDArray[np.float64],
    texts: Sequence[str],
    boxes_xyxy: Boxes,
    masks_PHW: BoolMasks | None,
) -> list[dict[str, Any]]:
    """Return what was found for each text as plain data that JSON can hold (paco_parts spec section 4).

    Args:
        pairs: P regions with their texts.
        similarity_NM: of N regions and M texts.
        texts: the M texts.
        boxes_xyxy: N x 4, pixels of the image.
        masks_PHW: of the P pairs' regions, of the size of the image, if there are masks.

    Returns:
        For every pair `text`, `region`, `similarity`, `box_xyxy`, and `mask`: COCO run lengths or None.
    """
    masks: list[dict[str, Any] | None] = [None] * len(pairs)
    if masks_PHW is not None:
        encoded = encode_masks(masks_PHW)
        masks = [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in encoded]
    return [
        {
            "text": texts[pair.text],
            "region": pair.region,
            "similarity": float(similarity_NM[pair.region, pair.text]),
            "box_xyxy": [float(value) for value in boxes_xyxy[pair.region]],
            "mask": mask,
        }
        for pair, mask in zip(pairs, masks, strict=True)
    ]
