"""From stored features to a distribution over candidate boxes for every expression.

Sums are taken in float64 over float32 features and stored as float32, so that a score does not depend on the
number of threads or on how the work was cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.catalog import Subtraction, prompted
from operators.fingerprint import canonical_json
from operators.geometry import INVALID, iou_xywh
from operators.products import Load, Predictions, Report, Texts, no_report
from operators.records import LOGIT_SCALE, OK, PREDICTIONS, QUARANTINED, error

STAGE = "score"
CORRECT_IOU = 0.5
Array = NDArray[np.float64]


class ScoreExpressions:
    """Operator: image rows and stored features to predictions, for every wanted method and proposal set."""

    def __init__(self, *, report: Report = no_report) -> None:
        self._report = report
        self._banks: dict[Texts, tuple[list[str], Array]] = {}

    def __call__(
        self, rows: pa.Table, wanted: Sequence[Predictions], load: Load
    ) -> Iterator[tuple[Predictions, pa.Table]]:
        """Yield the predictions part of every wanted product for one shard of `IMAGE_ROW`s."""
        images = rows.drop_columns(["image"]).to_pylist()
        for product in wanted:
            features = [[load(part) for part in per_encoder] for per_encoder in product.features()]
            banks = [[self._bank(part, load) for part in per_encoder] for per_encoder in product.texts()]
            scorer = _ShardScorer(product, features, banks)
            predictions = [scorer.predict(index, row) for index, row in enumerate(images)]
            self._report("expressions scored", sum(map(len, predictions)))
            keys = rows.column("image_key").to_pylist()
            yield (
                product,
                pa.table(
                    [pa.array(keys), pa.array(predictions, PREDICTIONS.field("predictions").type)],
                    schema=PREDICTIONS,
                ),
            )

    def _bank(self, product: Texts, load: Load) -> tuple[list[str], Array]:
        if product not in self._banks:
            part = load(product)
            scale = float(part.schema.metadata[LOGIT_SCALE])
            vectors = _matrix(part.column("feature").combine_chunks())
            self._banks[product] = (part.column("text").to_pylist(), scale * _unit(vectors))
        return self._banks[product]


class _ShardScorer:
    """Scores the images of one shard under one method and proposal set."""

    def __init__(
        self,
        product: Predictions,
        features: list[list[pa.Table]],
        banks: list[list[tuple[list[str], Array]]],
    ) -> None:
        self._product = product
        self._features = features
        names = [(dataset, split) for dataset, split, _ in product.splits]
        self._banks = {name: [per_encoder[i] for per_encoder in banks] for i, name in enumerate(names)}

    def predict(self, index: int, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the predictions of every chosen expression of one image."""
        images = [[self._unit_features(part, index) for part in parts] for parts in self._features]
        problem = next(
            (p for parts in self._features for part in parts if (p := part.column("error")[index].as_py())),
            None,
        )
        predictions = []
        for ref in row["refs"]:
            if (ref["dataset"], ref["split"]) not in self._banks:
                continue
            candidates = candidate_regions(row, self._product.proposals, ref["dataset"])
            for expression in ref["expressions"]:
                prediction = _blank(ref, expression, candidates)
                fault = expression["error"] or problem or _candidate_fault(row, candidates)
                if fault is None:
                    scores = self._scores(images, ref, expression, len(row["regions"]))
                    fault = _decide(prediction, scores, candidates, row, ref)
                if fault is not None:
                    prediction |= {"status": QUARANTINED, "error": fault}
                predictions.append(prediction)
        return predictions

    def _unit_features(self, part: pa.Table, index: int) -> Array:
        return _unit(_matrix(part.column("features")[index].values))

    def _scores(
        self, images: list[list[Array]], ref: dict[str, Any], expression: dict[str, Any], regions: int
    ) -> Array:
        """Return the pre-softmax score of every region: summed over encoders, reduced over variants."""
        method = self._product.method
        total = np.zeros((max(len(method.variants), 1), regions))
        for variants, (texts, vectors) in zip(images, self._banks[ref["dataset"], ref["split"]], strict=True):
            position = expression["split_index"]
            if texts[position] != prompted(method.template, expression["text"]):
                raise ValueError(
                    f"caption bank of {ref['dataset']}/{ref['split']}: line {position} says "
                    f"{texts[position]!r}, expression {expression['expression_id']} {expression['text']!r}"
                )
            text = vectors[position]
            if method.subtraction:
                drawn = draw_negatives(method.subtraction, ref, expression["expression_id"], len(texts))
                # The mean of 500 dot products is the dot product with the mean.
                text = text - vectors[drawn].mean(0)
            total += np.stack([unit_RD @ text for unit_RD in variants])
        return total.sum(0) if method.reduce == "sum" else total.max(0)


@lru_cache(maxsize=20_000)
def _draw(
    captions: int, seed: int, dataset: str, split: str, expression_id: str, bank: int
) -> NDArray[np.int32]:
    key = hashlib.sha256(canonical_json([seed, dataset, split, expression_id]).encode()).digest()
    # NumPy promises never to change the stream of its legacy generator.
    generator = np.random.RandomState(np.frombuffer(key, dtype="<u4"))
    return generator.permutation(bank)[:captions].astype(np.int32)


def draw_negatives(
    subtraction: Subtraction, ref: dict[str, Any], expression_id: str, bank: int
) -> NDArray[np.int32]:
    """Draw positions of a caption bank without replacement, keyed by seed, dataset, split and expression.

    Args:
        subtraction: how many captions, and the seed.
        ref: gives dataset and split.
        expression_id: of the expression that is scored.
        bank: length of the bank; drawn whole if it has no more captions than asked for.

    Returns:
        min(captions, bank) positions; the positive caption is not excluded (rec_scoring spec section 8).
    """
    return _draw(subtraction.captions, subtraction.seed, ref["dataset"], ref["split"], expression_id, bank)


def candidate_regions(row: dict[str, Any], proposals: str, dataset: str) -> list[int]:
    """Return the candidates of a dataset in their original order: the set `<proposals>/<dataset>`, else
    `<proposals>`; empty if the image has neither."""
    sets = {s["name"]: s["region_ids"] for s in row["proposal_sets"]}
    return sets.get(f"{proposals}/{dataset}", sets.get(proposals, []))


def softmax(scores: Array) -> Array:
    """Return the softmax of a vector."""
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def _blank(ref: dict[str, Any], expression: dict[str, Any], candidates: list[int]) -> dict[str, Any]:
    return {
        "dataset": ref["dataset"],
        "split": ref["split"],
        "ref_id": ref["ref_id"],
        "expression_id": expression["expression_id"],
        "candidate_region_ids": candidates,
        "scores": None,
        "probabilities": None,
        "predicted_region_id": None,
        "correct": None,
        "status": OK,
        "error": None,
    }


def _candidate_fault(row: dict[str, Any], candidates: list[int]) -> dict[str, str] | None:
    if not candidates:
        return error(STAGE, "regions.none", "the image has no candidates in this proposal set")
    if all(row["regions"][i]["status"] == INVALID for i in candidates):
        return error(STAGE, "regions.invalid", "every candidate is without area or outside the image")
    return None


def _decide(
    prediction: dict[str, Any], scores: Array, candidates: list[int], row: dict[str, Any], ref: dict[str, Any]
) -> dict[str, str] | None:
    """Fill in scores, probabilities and the first most probable candidate; return a fault, if any.

    Candidates without area get probability 0 (rec_scoring spec section 2.4).
    """
    valid = np.array([row["regions"][i]["status"] != INVALID for i in candidates])
    candidate_scores = scores[candidates]
    if not np.isfinite(candidate_scores[valid]).all():
        return error(STAGE, "score.nonfinite", "a score is not finite")
    probabilities = np.zeros(len(candidates))
    probabilities[valid] = softmax(candidate_scores[valid])
    stored = probabilities.astype(np.float32)
    predicted = candidates[int(stored.argmax())]
    targets = [row["regions"][i]["box_xywh"] for i in ref["target_region_ids"]]
    overlaps = iou_xywh(np.array([row["regions"][predicted]["box_xywh"]]), np.array(targets))
    prediction["scores"] = [s if ok else None for s, ok in zip(candidate_scores, valid, strict=True)]
    prediction["probabilities"] = stored
    prediction["predicted_region_id"] = predicted
    prediction["correct"] = bool((overlaps > CORRECT_IOU).any())
    return None


def _matrix(vectors: pa.FixedSizeListArray) -> Array:
    """Turn an Arrow list of vectors into (N, D); missing vectors become NaN."""
    matrix = np.full((len(vectors), vectors.type.list_size), np.nan)
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    matrix[present] = vectors.drop_null().flatten().to_numpy().reshape(-1, vectors.type.list_size)
    return matrix


def _unit(vectors_ND: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):  # a bad vector is found by its score
        return vectors_ND / np.linalg.norm(vectors_ND, axis=-1, keepdims=True)
