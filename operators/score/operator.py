"""From stored features to a distribution over candidate boxes for every expression.

Images are scored one at a time, all texts of an image at once: captions x regions of a split never exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.methods.products import Load, Predictions, Report, Texts, no_report
from operators.pixels.geometry import INVALID, iou_xywh
from operators.relations import BoxRelations, ParseError, Relations, compile_expression, execute
from operators.rows.fingerprint import fingerprint
from operators.rows.records import OK, PREDICTIONS, QUARANTINED, error, valid_regions
from operators.rows.vectors import Array, softmax32
from operators.score.image_scores import Drawn, Fault, ImageScorer, MeanNegatives, Question, Row, SplitTexts
from operators.score.subtraction import draw_negatives
from operators.score.text_vectors import TextVectors, matrix

STAGE = "score"
CORRECT_IOU = 0.5


class ScoreExpressions:
    """Operator: image rows and stored features to predictions, for every wanted method and proposal set."""

    def __init__(self, *, report: Report = no_report) -> None:
        self._report = report
        self._vectors: dict[Texts, TextVectors] = {}

    def __call__(
        self, rows: pa.Table, wanted: Sequence[Predictions], load: Load
    ) -> Iterator[tuple[Predictions, pa.Table]]:
        """Yield the predictions part of every wanted product for one shard of `IMAGE_ROW`s."""
        images = rows.drop_columns(["image"]).to_pylist()
        draws, means = Draws(), MeanNegatives()
        for product in wanted:
            features = [[load(part) for part in per_encoder] for per_encoder in product.features()]
            scorer = ImageScorer(product, self._texts(product, load), means)
            shard = _ShardScorer(product, features, scorer, draws)
            predictions = [shard.predict(index, row) for index, row in enumerate(images)]
            self._report("expressions scored", sum(map(len, predictions)))
            keys = rows.column("image_key").to_pylist()
            yield (
                product,
                pa.table(
                    [pa.array(keys), pa.array(predictions, PREDICTIONS.field("predictions").type)],
                    schema=PREDICTIONS,
                ),
            )

    def _texts(self, product: Predictions, load: Load) -> dict[tuple[str, str], list[SplitTexts]]:
        texts: dict[tuple[str, str], list[SplitTexts]] = {}
        for dataset, split, _ in product.splits:
            per_encoder = [product.split_texts(encoder, dataset, split) for encoder in product.encoders]
            for part in (part for parts in per_encoder for part in parts if part not in self._vectors):
                self._vectors[part] = TextVectors(load(part))
            texts[dataset, split] = [SplitTexts(p, [self._vectors[part] for part in p]) for p in per_encoder]
        return texts


class Draws:
    """The captions drawn for S, remembered: many methods and proposal sets share them."""

    def __init__(self) -> None:
        self._drawn: dict[Any, Drawn] = {}

    def of(self, product: Predictions, row: Row, question: Question, bank: int) -> Drawn:
        """Return the bank positions of the captions that an expression is compared with."""
        settings, ref, name = product.method.subtraction, question.ref, question.expression["expression_id"]
        assert settings is not None
        key = (settings, ref["dataset"], ref["split"], name)
        if key not in self._drawn:
            left_out = described_here(row, ref) if product.exclude_same_image else ()
            self._drawn[key] = draw_negatives(settings, ref, name, bank, left_out)
        return self._drawn[key]


class _ShardScorer:
    """Scores the images of one shard under one method and proposal set."""

    def __init__(
        self, product: Predictions, features: list[list[pa.Table]], scorer: ImageScorer, draws: Draws
    ) -> None:
        self._product = product
        self._features = features
        self._scorer = scorer
        self._draws = draws

    def predict(self, index: int, row: Row) -> list[Row]:
        """Return the predictions of every chosen expression of one image."""
        problem = next(
            (p for parts in self._features for part in parts if (p := part.column("error")[index].as_py())),
            None,
        )
        unseen = set() if problem else self._unseen(index, row)
        questions = [
            self._question(row, ref, expression, problem, unseen)
            for ref in row["refs"]
            if (ref["dataset"], ref["split"]) in self._scorer.texts
            for expression in ref["expressions"]
        ]
        scores = self._scores(index, row, [question for question in questions if question.fault is None])
        boxes = _CandidateBoxes(row)
        predictions = []
        for question in questions:
            prediction = _blank(question)
            fault = question.fault or self._decide(prediction, question, next(scores), row, boxes)
            if fault is not None:
                prediction |= {"status": QUARANTINED, "error": fault}
            predictions.append(prediction)
        return predictions

    def _unseen(self, index: int, row: Row) -> set[int]:
        """Return the regions with area that some encoder was not shown, for want of a mask."""
        shown = [
            part.column("features")[index].values.is_valid().to_numpy(zero_copy_only=False)
            for parts in self._features
            for part in parts
        ]
        return {i for i in valid_regions(row) if not all(seen[i] for seen in shown)}

    def _question(
        self, row: Row, ref: Row, expression: Row, problem: Fault | None, unseen: set[int]
    ) -> Question:
        candidates = candidate_regions(row, self._product.proposals, ref["dataset"])
        question = Question(ref, expression, candidates, [expression["text"]])
        question.fault = expression["error"] or problem or _candidate_fault(row, candidates, unseen)
        if question.fault is None and self._product.relations is not None:
            question.fault = self._relate(question, self._product.relations)
        if question.fault is None and self._product.method.subtraction and self._product.encoders:
            bank = self._scorer.texts[ref["dataset"], ref["split"]][0].bank
            question.drawn = self._draws.of(self._product, row, question, len(bank))
            if not len(question.drawn):
                question.fault = error(STAGE, "text.no_negatives", "the split has no caption that S may draw")
        return question

    def _relate(self, question: Question, options: Relations) -> Fault | None:
        parse = question.expression["parse"]
        if parse is None:
            advice = "R needs a parse of every expression; prepare with --parser or --parses"
            return error("prepare", "parse.missing", advice)
        try:
            question.program = compile_expression(parse, question.expression["text"], options)
        except ParseError as invalid:
            return error("prepare", "parse.invalid", str(invalid))
        question.texts = question.program.texts()
        return None

    def _scores(self, index: int, row: Row, questions: list[Question]) -> Iterator[Array]:
        """Yield the pre-softmax scores (texts, regions) of every question."""
        features = [
            [matrix(part.column("features")[index].values) for part in parts] for parts in self._features
        ]
        return self._scorer.scores(features, len(row["regions"]), questions)

    def _decide(
        self, prediction: Row, question: Question, scores_TR: Array, row: Row, boxes: _CandidateBoxes
    ) -> Fault | None:
        """Fill in scores, probabilities and the most probable candidate; return a fault, if any.

        Candidates without area get probability 0 (rec_scoring spec section 2.4).
        """
        candidates, valid = question.candidates, boxes.valid(question.candidates)
        scores_TN = scores_TR[:, candidates][:, valid]
        if not np.isfinite(scores_TN).all():
            return error(STAGE, "score.nonfinite", "a score is not finite")
        options = self._product.relations
        if question.program is None or options is None:
            found: NDArray[Any] = softmax32(scores_TN[0])
        else:
            by_text = dict(zip(question.texts, scores_TN, strict=True))
            found = execute(question.program, by_text, boxes.relations(candidates), options)
        probabilities = np.zeros(len(candidates), dtype=np.float32)
        probabilities[valid] = found
        chosen = int(found.argmax()) if self._product.method.ties == "first" else _drawn_tie(found, question)
        predicted = candidates[int(np.flatnonzero(valid)[chosen])]
        targets = [row["regions"][i]["box_xywh"] for i in question.ref["target_region_ids"]]
        overlaps = iou_xywh(np.array([row["regions"][predicted]["box_xywh"]]), np.array(targets))
        prediction["scores"] = [
            s if ok else None for s, ok in zip(scores_TR[0, candidates], valid, strict=True)
        ]
        prediction["probabilities"] = probabilities
        prediction["predicted_region_id"] = predicted
        prediction["correct"] = bool((overlaps > CORRECT_IOU).any())
        return None


class _CandidateBoxes:
    """Which candidates of an image count, and their spatial relations, worked out once a candidate list."""

    def __init__(self, row: Row) -> None:
        self._regions = row["regions"]
        self._relations: dict[tuple[int, ...], BoxRelations] = {}

    def valid(self, candidates: list[int]) -> NDArray[np.bool_]:
        return np.array([self._regions[i]["status"] != INVALID for i in candidates])

    def relations(self, candidates: list[int]) -> BoxRelations:
        key = tuple(i for i in candidates if self._regions[i]["status"] != INVALID)
        if key not in self._relations:
            self._relations[key] = BoxRelations(np.array([self._regions[i]["box_xywh"] for i in key]))
        return self._relations[key]


def candidate_regions(row: Row, proposals: str, dataset: str) -> list[int]:
    """Return the candidates of a dataset in their original order: the set `<proposals>/<dataset>`, else
    `<proposals>`; empty if the image has neither."""
    sets = {s["name"]: s["region_ids"] for s in row["proposal_sets"]}
    return sets.get(f"{proposals}/{dataset}", sets.get(proposals, []))


def described_here(row: Row, ref: Row) -> frozenset[int]:
    """Return the bank positions of every caption of an image in the split of one of its references."""
    split = (ref["dataset"], ref["split"])
    return frozenset(
        expression["split_index"]
        for other in row["refs"]
        if (other["dataset"], other["split"]) == split
        for expression in other["expressions"]
    )


def _drawn_tie(probabilities: NDArray[Any], question: Question) -> int:
    """Draw one of the most probable; NaN makes the first one, as everywhere."""
    most = np.flatnonzero(probabilities == probabilities.max())
    if not len(most):
        return 0
    ref = question.ref
    place = ["ties", ref["dataset"], ref["split"], question.expression["expression_id"]]
    return int(most[int(fingerprint(place), 16) % len(most)])


def _blank(question: Question) -> Row:
    return {
        **{name: question.ref[name] for name in ("dataset", "split", "ref_id")},
        "expression_id": question.expression["expression_id"],
        "candidate_region_ids": question.candidates,
        "scores": None,
        "probabilities": None,
        "predicted_region_id": None,
        "correct": None,
        "status": OK,
        "error": None,
    }


def _candidate_fault(row: Row, candidates: list[int], unseen: set[int]) -> Fault | None:
    if not candidates:
        return error(STAGE, "regions.none", "the image has no candidates in this proposal set")
    if all(row["regions"][i]["status"] == INVALID for i in candidates):
        return error(STAGE, "regions.invalid", "every candidate is without area or outside the image")
    missing = [i for i in candidates if i in unseen]
    if missing:
        return error("prepare", "mask.missing", f"region {missing[0]} has no mask of the dataset's own")
    return None
