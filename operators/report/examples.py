"""Which expressions the report shows, and how: the picture with its boxes, the text and the scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.pixels.images import decode_row
from operators.report.page import Candidate, Card, Picture, shortened
from operators.report.pictures import Outline, annotated, data_uri
from operators.rows.records import OK

SIDE_PX = 320
MAX_LISTED = 5
TARGET, CHOSEN, OTHER = "#2b9348", "#e85d04", "#9aa5b1"


@dataclass(frozen=True)
class Pick:
    """A stored prediction and where its image lies: shard number, row in the shard, key."""

    shard: int
    row: int
    image_key: str
    prediction: dict[str, Any]


def pick_examples(parts: Mapping[int, pa.Table], each: int) -> list[Pick]:
    """Choose right and wrong answers as a lottery would, the same for every method and run.

    Images are visited in the order of a hash of their keys, so that methods are shown on the same pictures
    wherever they allow it; an image gives at most one right and one wrong answer.

    Args:
        parts: tables of `PREDICTIONS` by shard number.
        each: how many right ones and how many wrong ones at most.

    Returns:
        Right ones first.
    """
    keys = [
        (_lot(key), shard, row, key)
        for shard, part in parts.items()
        for row, key in enumerate(part.column("image_key").to_pylist())
    ]
    picks: dict[bool, list[Pick]] = {True: [], False: []}
    for _, shard, row, key in sorted(keys):
        if all(len(kind) >= each for kind in picks.values()):
            break
        taken: set[bool] = set()
        predictions = parts[shard].column("predictions")[row].as_py()
        for prediction in sorted(predictions, key=lambda p: _lot(p["dataset"] + "/" + p["expression_id"])):
            right = prediction["correct"]
            contested = prediction["status"] == OK and len(prediction["candidate_region_ids"]) > 1
            if contested and right not in taken and len(picks[right]) < each:
                picks[right].append(Pick(shard, row, key, prediction))
                taken.add(right)
    return picks[True] + picks[False]


def set_aside(parts: Mapping[int, pa.Table]) -> Iterator[Pick]:
    """Yield the predictions that were set aside, in the order of the shards."""
    for shard, part in parts.items():
        column = part.column("predictions").combine_chunks()
        predictions, rows = column.flatten(), pc.list_parent_indices(column)
        chosen = pc.not_equal(predictions.field("status"), OK)
        for row, prediction in zip(
            rows.filter(chosen).to_pylist(), predictions.filter(chosen).to_pylist(), strict=True
        ):
            yield Pick(shard, row, part.column("image_key")[row].as_py(), prediction)


def find_expression(pick: Pick, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return reference and expression of a pick from its image row.

    Raises:
        ValueError: if the row has no such expression: it is not the row that was scored.
    """
    prediction = pick.prediction
    for ref in row["refs"]:
        if (ref["dataset"], ref["ref_id"]) == (prediction["dataset"], prediction["ref_id"]):
            for expression in ref["expressions"]:
                if expression["expression_id"] == prediction["expression_id"]:
                    return ref, expression
    raise ValueError(f"image {pick.image_key} has no expression {prediction['expression_id']}")


def example_card(pick: Pick, row: Mapping[str, Any]) -> Card:
    """Draw the boxes of a pick and lay out its candidates by probability, the target's always among them.

    Raises:
        ImageError: if the picture of the row cannot be decoded.
    """
    ref, expression = find_expression(pick, row)
    prediction = pick.prediction
    lines = _candidates(prediction, set(ref["target_region_ids"]))
    listed = lines[:MAX_LISTED] + [line for line in lines[MAX_LISTED:] if line.target]
    place = f"{ref['dataset']} {ref['split']} · expression {expression['expression_id']} · {pick.image_key}"
    return Card(
        picture=_picture(dict(row), ref["target_region_ids"], prediction),
        text=shortened(expression["text"]),
        place=place,
        right=prediction["correct"],
        candidates=listed,
        more=len(lines) - len(listed),
    )


def _candidates(prediction: dict[str, Any], targets: set[int]) -> list[Candidate]:
    """Return the candidates by probability, the chosen one first; a region listed twice is two candidates."""
    columns = [prediction[name] for name in ("candidate_region_ids", "scores", "probabilities")]
    chosen = columns[0].index(prediction["predicted_region_id"])
    lines = [
        Candidate(
            number=str(position + 1),
            score="no area" if score is None else f"{score:.2f}",
            probability=probability,
            target=region in targets,
            chosen=position == chosen,
        )
        for position, (region, score, probability) in enumerate(zip(*columns, strict=True))
    ]
    return sorted(lines, key=lambda line: (not line.chosen, -line.probability))


def _picture(row: dict[str, Any], targets: list[int], prediction: dict[str, Any]) -> Picture:
    regions, chosen = prediction["candidate_region_ids"], prediction["predicted_region_id"]
    numbers = {region: str(regions.index(region) + 1) for region in regions}
    others = [r for r in numbers if r != chosen and r not in targets]
    outlines = [(region, Outline(OTHER)) for region in others]
    outlines += [(region, Outline(TARGET, below=numbers.get(region, "target"))) for region in targets]
    # A right choice lies on its target: it is drawn inside it.
    outlines.append((chosen, Outline(CHOSEN, above=numbers[chosen], inset_px=4)))
    boxes_xywh = np.array([row["regions"][region]["box_xywh"] for region, _ in outlines], dtype=np.float64)
    picture = annotated(decode_row(row), boxes_xywh, [outline for _, outline in outlines], SIDE_PX)
    return Picture(data_uri(picture), f"{row['image_key']} with target and chosen box")


def _lot(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
