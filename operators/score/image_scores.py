"""The scores of all expressions of one image under one method, before any decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.methods.method import prompted
from operators.methods.products import Predictions, Texts
from operators.relations import Program
from operators.rows.vectors import Array, half_unit, unit
from operators.score.logits import Images, exact_scores, half_scores
from operators.score.text_vectors import TextVectors

Row = dict[str, Any]
Fault = dict[str, str]
Drawn = NDArray[np.int32]


@dataclass
class Question:
    """One expression of one image under one method.

    Attributes:
        candidates: region ids in their original order.
        texts: what is scored, before the template; the expression itself first.
        program: what R makes of the scores, if the method has it.
        drawn: with S, the bank positions of the captions it is compared with.
        fault: why it cannot be answered.
    """

    ref: Row
    expression: Row
    candidates: list[int]
    texts: list[str]
    program: Program | None = None
    drawn: Drawn | None = None
    fault: Fault | None = None


class SplitTexts:
    """The texts of one split under one encoder: its caption bank, and with R its phrases."""

    def __init__(self, parts: Sequence[Texts], vectors: Sequence[TextVectors]) -> None:
        self.part, *_ = parts
        self.bank, *phrases = vectors
        self._phrases = phrases[0] if phrases else None

    def take(self, question: Question, vectors_of: Callable[[TextVectors], Array]) -> Array:
        """Return the vectors (T, D) of a question's texts.

        Raises:
            ValueError: if the bank has another caption at the expression's place.
        """
        position, template = question.expression["split_index"], self.part.template
        if self.bank.strings[position] != prompted(template, question.texts[0]):
            raise ValueError(
                f"caption bank of {self.part.dataset}/{self.part.split}: line {position} says "
                f"{self.bank.strings[position]!r}, expression {question.expression['expression_id']} "
                f"{question.texts[0]!r}"
            )
        caption = vectors_of(self.bank)[[position]]
        if len(question.texts) == 1 or self._phrases is None:
            return caption
        phrases = self._phrases.positions([prompted(template, text) for text in question.texts[1:]])
        return np.concatenate([caption, vectors_of(self._phrases)[phrases]])


class MeanNegatives:
    """Mean vectors of drawn captions, remembered: many methods and proposal sets share them."""

    def __init__(self) -> None:
        self._means: dict[tuple[Texts, bytes], Array] = {}

    def mean(self, texts: SplitTexts, drawn: Drawn) -> Array:
        """Return the mean (D,) of unit vectors times exp(logit_scale)."""
        key = (texts.part, drawn.tobytes())
        if key not in self._means:
            self._means[key] = texts.bank.scaled_ND[drawn].mean(0)
        return self._means[key]


@dataclass(frozen=True)
class ImageScorer:
    """Scores every text for every region of an image, in the arithmetic that the product asks for.

    Attributes:
        texts: (dataset, split) -> texts by encoder.
        means: of drawn captions, shared with other products.
    """

    product: Predictions
    texts: dict[tuple[str, str], list[SplitTexts]]
    means: MeanNegatives

    def scores(self, features: Images, regions: int, questions: Sequence[Question]) -> Iterator[Array]:
        """Yield the scores (T, R) of every question.

        Args:
            features: of the image as stored, (R, D) by encoder, then variant.
            regions: R.
            questions: of the image.
        """
        if self.product.score_dtype == "float16_compat" and self.product.encoders:
            yield from self._half(features, questions)
        elif questions:
            texts = [self._exact_texts(e, questions) for e in range(len(features))]
            images = [[unit(image_RD) for image_RD in of_encoder] for of_encoder in features]
            counts = [len(question.texts) for question in questions]
            if not images:
                yield from (np.zeros((count, regions)) for count in counts)
                return
            scores = exact_scores(images, texts, regions, self.product.method.reduce)
            yield from np.split(scores, np.cumsum(counts)[:-1])

    def _of(self, question: Question) -> list[SplitTexts]:
        return self.texts[question.ref["dataset"], question.ref["split"]]

    def _exact_texts(self, encoder: int, questions: Sequence[Question]) -> Array:
        vectors = []
        for question in questions:
            texts = self._of(question)[encoder]
            positive_TD = texts.take(question, lambda part: part.scaled_ND)
            if question.drawn is not None:
                positive_TD = positive_TD - self.means.mean(texts, question.drawn)
            vectors.append(positive_TD)
        return np.concatenate(vectors)

    def _half(self, features: Images, questions: Sequence[Question]) -> Iterator[Array]:
        images = [[half_unit(image_RD) for image_RD in of_encoder] for of_encoder in features]
        for question in questions:
            texts, drawn = self._of(question), question.drawn
            yield half_scores(
                images,
                [of_encoder.take(question, lambda part: part.half_ND) for of_encoder in texts],
                [of_encoder.bank.scale for of_encoder in texts],
                None if drawn is None else [of_encoder.bank.half_ND[drawn] for of_encoder in texts],
                self.product.method.reduce,
            ).astype(np.float64)
