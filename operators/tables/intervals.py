"""How sure a number is: bootstrap intervals that treat expressions of one image as one draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
LEVEL = 0.95
# Resampled image numbers held at a time; bounds the memory, not the result.
MAX_HELD = 1_000_000


class Interval(NamedTuple):
    """Bounds in percent."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Say whether a value lies within the bounds, both included."""
        return self.low <= value <= self.high


def clustered_interval(
    ok_N: NDArray[np.int64],
    correct_N: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval | None:
    """Return a percentile bootstrap interval of the accuracy, with images drawn whole.

    Expressions of one image share its picture and its candidates, so they are no independent draws: N images
    are drawn with replacement and the accuracy is that of all their expressions together.

    Args:
        ok_N: expressions scored in each of N images.
        correct_N: right ones among them.
        draws: bootstrap samples.
        level: share of the samples between the bounds.
        seed: of the draw; equal input and seed give equal bounds.

    Returns:
        The bounds in percent; None with fewer than two images in which anything was scored, since one image
        says nothing about the next.

    Raises:
        ValueError: if the two arrays do not have one length, or an image has more right than scored.
    """
    if ok_N.shape != correct_N.shape or (correct_N > ok_N).any():
        raise ValueError(f"counts of {ok_N.shape} and {correct_N.shape} images, or more right than scored")
    scored = ok_N > 0
    ok_N, correct_N = ok_N[scored], correct_N[scored]
    images = len(ok_N)
    if images < 2:
        return None
    # NumPy promises never to change the stream of its legacy generator.
    generator = np.random.RandomState(seed)
    accuracies = []
    for start in range(0, draws, step := max(1, MAX_HELD // images)):
        drawn = generator.randint(images, size=(min(step, draws - start), images))
        accuracies.append(100 * correct_N[drawn].sum(1) / ok_N[drawn].sum(1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(accuracies), [tail, 1 - tail])
    return Interval(float(low), float(high))
