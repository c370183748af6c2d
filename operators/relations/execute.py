"""Run a program on the boxes of one image (rec_scoring spec section 10.3, `exec`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.relations.options import Relations
from operators.relations.predicates import BoxRelations
from operators.relations.program import Program, Step
from operators.rows.vectors import softmax32

# float32 where only softmax took part, float64 after a relation or a superlative
Probabilities = NDArray[Any]


def execute(
    program: Program,
    scores: Mapping[str, NDArray[Any]],
    boxes: BoxRelations,
    options: Relations,
    large_N: NDArray[np.bool_] | None = None,
) -> Probabilities:
    """Return what a program says about N boxes; the prediction is the argmax.

    The sum need not be 1. If no box satisfies the expression all are NaN, of which NumPy's argmax takes the
    first, as the published program does.

    Args:
        program: of one expression.
        scores: text -> N pre-softmax scores, for every one of the program's texts.
        boxes: the N candidates.
        options: those the program was made with.
        large_N: which boxes are large enough to be the answer; the others still serve as its surroundings.

    Raises:
        KeyError: for a text without scores.
    """
    large = np.ones(len(boxes), dtype=bool) if large_N is None else large_N
    caption = _over(large, scores[program.caption], softmax32)
    if program.entity is None or len(boxes) == 1:
        return caption
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is what the quirks are about
        entity = _Execution(scores, boxes, options).distribution(program.entity, large)
    return caption * entity if options.with_caption else entity


def standardised_sigmoid(scores_N: NDArray[Any], temperature: float) -> NDArray[np.float32]:
    """Return sigmoid(temperature * (s - mean) / (unbiased std + 1e-9)) (rec_scoring spec section 7)."""
    scores = np.asarray(scores_N, dtype=np.float64)
    spread = scores.std(ddof=1) + 1e-9 if len(scores) > 1 else np.nan
    result: NDArray[np.float32] = 1 / (1 + np.exp(-temperature * (scores - scores.mean()) / spread))
    return result.astype(np.float32)


def _over(large: NDArray[np.bool_], scores: NDArray[Any], to_probabilities: Any) -> Probabilities:
    probabilities = np.zeros(len(large), dtype=np.float32)
    probabilities[large] = to_probabilities(np.asarray(scores)[large])
    return probabilities


@dataclass(frozen=True)
class _Execution:
    scores: Mapping[str, NDArray[Any]]
    boxes: BoxRelations
    options: Relations

    def distribution(self, step: Step, large: NDArray[np.bool_]) -> Probabilities:
        everywhere = np.ones(len(self.boxes), dtype=bool)
        factors = [
            (self.boxes.matrix(predicate) * self.distribution(other, everywhere)).sum(-1)
            for predicate, other in step.relations
        ]
        for first, second in step.between:
            p, q = self.distribution(first, everywhere), self.distribution(second, everywhere)
            factors.append(np.einsum("ijk,j,k->i", self.boxes.between, p, q))
        probabilities = _over(large, self.scores[step.text], self._to_probabilities)
        for factor in factors:
            probabilities = self._normalised(probabilities * factor, probabilities)
        if self._is_open(probabilities):
            for predicate in step.superlatives:
                weights = np.ones_like(probabilities) if self.options.superlative_head_only else probabilities
                wins = (np.outer(weights, weights) * self.boxes.matrix(predicate)).sum(-1)
                probabilities = self._normalised(wins, probabilities)
        return probabilities

    def _to_probabilities(self, scores: NDArray[Any]) -> Probabilities:
        if self.options.probabilities == "sigmoid":
            return standardised_sigmoid(scores, self.options.temperature)
        return softmax32(scores)

    def _normalised(self, weights: Probabilities, before: Probabilities) -> Probabilities:
        total = weights.sum()
        if total == 0 and not self.options.zero_means_first:
            return before
        return weights / total

    def _is_open(self, probabilities: Probabilities) -> bool:
        """Say whether superlatives are looked at."""
        second, largest = np.sort(probabilities)[-2:]
        if not self.options.skip_superlatives_when_certain and self.options.certainty is None:
            return True
        ratio = np.inf if self.options.certainty is None else self.options.certainty
        # inf * 0 is NaN, and no number is below NaN: the published comparison
        return bool(largest < ratio * second)
