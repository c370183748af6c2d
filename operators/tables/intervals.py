"""How sure a number is: bootstrap intervals that treat expressions of one image as one draw."""

from __future__ import annotations

from collections.abc import Sequence
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


def bounds(interval: Interval | None) -> str:
    """Write an interval as `[49.5, 61.8]`; nothing if it is unknown."""
    return f"[{interval.low:.1f}, {interval.high:.1f}]" if interval else ""


def clustered_interval(
    ok_SN: NDArray[np.int64],
    correct_SN: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval | None:
    """Return a percentile bootstrap interval of the accuracy, or of its mean over splits, images drawn whole.

    Expressions of one image share its picture and its candidates, so they are no independent draws: N images
    are drawn with replacement, with what all S splits ask about them, and the accuracy of a split is that of
    all its expressions together.

    Args:
        ok_SN: expressions of S splits scored in each of N images; [N] for one split.
        correct_SN: right ones among them.
        draws: bootstrap samples.
        level: share of the samples between the bounds.
        seed: of the draw; equal input and seed give equal bounds.

    Returns:
        The bounds in percent; None with fewer than two images in which anything was scored, since one image
        says nothing about the next.

    Raises:
        ValueError: if the two arrays do not have one length, or an image has more right than scored.
    """
    if ok_SN.shape != correct_SN.shape or (correct_SN > ok_SN).any():
        raise ValueError(f"counts of {ok_SN.shape} and {correct_SN.shape} images, or more right than scored")
    ok_SN, correct_SN = np.atleast_2d(ok_SN), np.atleast_2d(correct_SN)
    scored = ok_SN.any(axis=0)
    ok_SN, correct_SN = ok_SN[ok_SN.any(axis=1)][:, scored], correct_SN[ok_SN.any(axis=1)][:, scored]
    images = ok_SN.shape[1]
    if images < 2:
        return None
    # NumPy promises never to change the stream of its legacy generator.
    generator = np.random.RandomState(seed)
    splits = list(zip(ok_SN, correct_SN, strict=True))
    accuracies = []
    for start in range(0, draws, step := max(1, MAX_HELD // images)):
        drawn = generator.randint(images, size=(min(step, draws - start), images))
        by_split = [_percent(ok_N[drawn].sum(1), correct_N[drawn].sum(1)) for ok_N, correct_N in splits]
        accuracies.append(np.nanmean(by_split, axis=0))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(accuracies), [tail, 1 - tail])
    return Interval(float(low), float(high))


def _percent(ok_D: NDArray[np.int64], correct_D: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return accuracies of D draws; NaN where a small split was not drawn at all."""
    return np.divide(100 * correct_D, ok_D, out=np.full(ok_D.shape, np.nan), where=ok_D > 0)


def clearly_best(
    index: int, intervals: Sequence[Interval | None], groups: Sequence[object] | None = None
) -> bool:
    """Say whether an interval lies above those of all others of its group, of which there is one at least."""
    own = intervals[index]
    others = [
        interval
        for i, interval in enumerate(intervals)
        if interval and i != index and (groups is None or groups[i] == groups[index])
    ]
    return own is not None and bool(others) and all(own.low > other.high for other in others)
