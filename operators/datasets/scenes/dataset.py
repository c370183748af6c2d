"""Scenes as references, detections and pictures: what a reader of annotation files would give."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from operators.datasets.formats.annotations import AnnotatedRef, BoxXYWH, Sentence
from operators.datasets.formats.parses import Parses
from operators.datasets.image_rows import Row
from operators.datasets.scenes.layout import ANGULAR, ROUND, SHAPES, Layout, random_layout
from operators.datasets.scenes.painting import paint
from operators.datasets.scenes.wording import DATASETS, Expression
from operators.pixels.masks import BoolMasks, encode_masks

# As RefCOCO's testA refers to people and testB to everything else, ours refer to round and angular things.
SPLITS = {"val": SHAPES, "testA": ROUND, "testB": ANGULAR}
SHARES = {"val": 0.6, "testA": 0.2, "testB": 0.2}
SEED_OF_SPLIT = {"val": 1, "testA": 2, "testB": 3, "train": 4}
MISSED_SHARE = 0.06
JITTER_SHARE = 0.09
MIN_FALSE, MAX_FALSE = 1, 3


@dataclass(frozen=True)
class Scene:
    """One picture and all that is known about it.

    Attributes:
        name: file name of the picture.
        image_HWC: the picture, uint8 RGB.
        masks_NHW: visible part of every thing, bool.
        boxes_xywh: tight box of each mask, pixels.
        detections_xywh: what a detector might give: jittered boxes, some missing, and false ones.
        expressions: by dataset.
    """

    name: str
    image_HWC: NDArray[np.uint8]
    layout: Layout
    masks_NHW: BoolMasks
    boxes_xywh: tuple[BoxXYWH, ...]
    detections_xywh: tuple[BoxXYWH, ...]
    expressions: dict[str, list[Expression]]

    @property
    def png(self) -> bytes:
        """Return the picture as a file."""
        buffer = io.BytesIO()
        Image.fromarray(self.image_HWC).save(buffer, "PNG")
        return buffer.getvalue()


def make_scene(seed: int, split: str, index: int) -> Scene:
    """Make one scene; equal arguments give an equal scene. `train` scenes share nothing with the others."""
    random = np.random.RandomState([seed, SEED_OF_SPLIT[split], index])
    expressions: dict[str, list[Expression]] = {}
    while not any(expressions.values()):  # a scene that nothing can be said about would not be scored
        layout = random_layout(random)
        image_HWC, masks_NHW = paint(layout, random)
        expressions = _expressions(layout, SPLITS.get(split, SHAPES), random)
    boxes = tuple(_tight_box(mask) for mask in masks_NHW)
    return Scene(
        name=f"scene_{split}_{index:06d}.png",
        image_HWC=image_HWC,
        layout=layout,
        masks_NHW=masks_NHW,
        boxes_xywh=boxes,
        detections_xywh=_detections(layout, boxes, random),
        expressions=expressions,
    )


def references(scene: Scene, split: str) -> list[AnnotatedRef]:
    """Return one reference for every thing that an expression of a dataset means."""
    gold = tuple((str(i), box) for i, box in enumerate(scene.boxes_xywh))
    refs = []
    for dataset, expressions in scene.expressions.items():
        for thing in sorted({e.thing for e in expressions}):
            texts = dict.fromkeys(e.sentence.text for e in expressions if e.thing == thing)
            ref_id = f"{scene.name}-{thing}"
            refs.append(
                AnnotatedRef(
                    dataset=dataset,
                    split=split,
                    ref_id=ref_id,
                    image_file=scene.name,
                    image_id=scene.name,
                    gold=gold,
                    target_ids=(str(thing),),
                    sentences=tuple(Sentence(f"{ref_id}-{i}", text) for i, text in enumerate(texts)),
                    place=scene.name,
                )
            )
    return refs


def parses(scenes: Iterable[Scene]) -> Parses:
    """Return the parse of every expression by dataset and text; equal texts have equal parses."""
    return {
        (dataset, expression.sentence.text): expression.sentence.parse
        for scene in scenes
        for dataset, expressions in scene.expressions.items()
        for expression in expressions
    }


def add_exact_masks(row: Row, scene: Scene) -> Row:
    """Return an image row with the masks of the things its regions box in; other regions have none."""
    masks = dict(zip(scene.boxes_xywh, encode_masks(scene.masks_NHW), strict=True))
    regions = [{**region, "exact_mask": masks.get(tuple(region["box_xywh"]))} for region in row["regions"]]
    return {**row, "regions": regions}


def split_sizes(scenes: int) -> dict[str, int]:
    """Divide a number of scenes among the splits, at least one each."""
    sizes = {split: max(int(scenes * share), 1) for split, share in SHARES.items()}
    return sizes | {"val": max(scenes - sizes["testA"] - sizes["testB"], 1)}


def _expressions(
    layout: Layout, referred: Sequence[str], random: np.random.RandomState
) -> dict[str, list[Expression]]:
    """Return the expressions of every dataset that mean things of the given shapes."""
    return {
        dataset: [e for e in word(layout, random) if layout.things[e.thing].look.shape in referred]
        for dataset, word in DATASETS.items()
    }


def _tight_box(mask_HW: np.ndarray) -> BoxXYWH:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    left, top = float(columns[0]), float(rows[0])
    return left, top, float(columns[-1] + 1 - left), float(rows[-1] + 1 - top)


def _detections(
    layout: Layout, boxes_xywh: tuple[BoxXYWH, ...], random: np.random.RandomState
) -> tuple[BoxXYWH, ...]:
    found = []
    for x, y, w, h in boxes_xywh:
        if random.uniform() < MISSED_SHARE:
            continue
        dx, dy, dw, dh = random.normal(0, JITTER_SHARE, 4) * np.array([w, h, w, h])
        found.append(_inside(layout, x + dx, y + dy, w + dw, h + dh))
    for _ in range(random.randint(MIN_FALSE, MAX_FALSE + 1)):
        w, h = random.uniform(30, 90, 2)
        x, y = random.uniform(0, layout.width_px - w), random.uniform(0, layout.height_px - h)
        found.append(_inside(layout, x, y, w, h))
    return tuple(found[i] for i in random.permutation(len(found)))


def _inside(layout: Layout, x: float, y: float, w: float, h: float) -> BoxXYWH:
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + max(w, 8.0), layout.width_px), min(y + max(h, 8.0), layout.height_px)
    return round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)
