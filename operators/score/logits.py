"""Scores of T texts for the R regions of an image: summed over encoders, reduced over variants.

Source: rec_scoring spec sections 7 and 8. The exact form sums in float64 over float32 features, so that a
score does not depend on the number of threads or on how the work was cut. The other rounds where the
published programs do on a GPU, where every tensor up to the softmax is float16: features, their unit vectors,
their products with 100, logits, the sum over encoders, the mean of the negatives, the difference and the sum
over variants. Sums themselves are accumulated in float32 and rounded once, as GPUs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from operators.rows.vectors import Array

Reduce = Literal["sum", "max"]
Images = Sequence[Sequence[Array]]


def exact_scores(images: Images, texts: Sequence[Array], regions: int, reduce: Reduce) -> Array:
    """Return scores of shape (T, R).

    Args:
        images: unit features (R, D) by encoder, then variant.
        texts: by encoder, vectors (T, D) whose product with an image is the score: unit features times
            exp(logit_scale), with S less the mean of the negatives'. The mean of many products is the product
            with the mean.
        regions: R; without encoders or variants every score is 0.
        reduce: how variants are combined.
    """
    variants = max((len(of_encoder) for of_encoder in images), default=0)
    count = len(texts[0]) if texts else 1
    totals = np.zeros((max(variants, 1), count, regions))
    for of_encoder, texts_TD in zip(images, texts, strict=True):
        for total_TR, image_RD in zip(totals, of_encoder, strict=False):
            total_TR += texts_TD @ image_RD.T
    return totals.sum(0) if reduce == "sum" else totals.max(0)


def half_scores(
    images: Images,
    texts: Sequence[Array],
    scales: Sequence[float],
    negatives: Sequence[Array] | None,
    reduce: Reduce,
) -> Array:
    """Return scores of shape (T, R) of texts that share their negatives, rounded as published.

    Args:
        images: float16 unit features (R, D) by encoder, then variant; at least one of each.
        texts: float16 unit features (T, D) by encoder.
        scales: exp(logit_scale) by encoder.
        negatives: with S the float16 unit features (K, D) of the drawn captions, by encoder.
        reduce: how variants are combined.
    """
    scaled = [np.stack(units) * np.float16(scale) for units, scale in zip(images, scales, strict=True)]
    scores_VRT = _summed(scaled, texts)
    if negatives is not None:
        mean_VR = _summed(scaled, negatives).astype(np.float32).mean(-1).astype(np.float16)
        scores_VRT = scores_VRT - mean_VR[..., None]
    if reduce == "max":
        return scores_VRT.max(0).T
    return scores_VRT.astype(np.float32).sum(0).astype(np.float16).T


def _summed(images_VRD: Sequence[Array], texts: Sequence[Array]) -> Array:
    """Add up the float16 logits (V, R, T) of all encoders, in float16."""
    logits = [
        (image.astype(np.float32) @ text_TD.astype(np.float32).T).astype(np.float16)
        for image, text_TD in zip(images_VRD, texts, strict=True)
    ]
    return sum(logits[1:], start=logits[0])
