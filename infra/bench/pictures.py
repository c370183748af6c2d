"""A small dataset to measure on: noisy pictures, boxes, and a bank of different captions."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from PIL import Image

from infra.dataset.building import write_manifest
from infra.dataset.shards import write_shard
from infra.files import storage
from operators.datasets.complete_rows import complete_row
from operators.datasets.facts import facts_of
from operators.datasets.formats.annotations import AnnotatedRef, Sentence
from operators.datasets.image_rows import assemble_rows, caption_banks
from operators.rows.records import IMAGE_ROW

DATASET, SPLIT = "bench", "val"
SIZE_WH = (640, 427)
PEOPLE = ("man", "woman", "boy", "girl", "dog", "cat", "horse", "cow", "car", "bus", "bike", "table")
COLOURS = ("red", "blue", "green", "white", "black", "big", "small", "old", "young", "tall", "left", "right")
PLACES = ("front", "back", "middle", "standing", "sitting", "holding", "wearing", "with", "in", "on", "near")
THINGS = ("hat", "shirt", "jacket", "umbrella", "phone", "ball", "bench", "tree", "window", "cup", "plate")
WORDS = (*PEOPLE, *COLOURS, *PLACES, *THINGS)


def make_pictures(out: str, pictures: int, boxes: int, sentences: int, bank: int) -> None:
    """Write the dataset; doing it twice changes nothing.

    Args:
        out: folder of the shards.
        pictures: to be scored, one a shard.
        boxes: of each picture.
        sentences: of each picture.
        bank: captions of the split at least; those beyond the pictures' own belong to one small picture more.
    """
    dice = random.Random("bench 0")
    captions = _captions(dice)
    refs, images = [], {}
    for number in range(pictures):
        name = f"{number:05d}.jpg"
        images[name] = _picture(number, SIZE_WH)
        refs += _refs(name, _boxes(dice, boxes), [next(captions) for _ in range(sentences)])
    rest = max(0, bank - pictures * sentences)
    if rest:
        images["others.jpg"] = _picture(pictures, (32, 32))
        refs += _refs("others.jpg", [(0.0, 0.0, 16.0, 16.0)], [next(captions) for _ in range(rest)])
    assembled = assemble_rows(refs, {})
    rows = [complete_row(row, images[row["image_file"]]) for row in assembled]
    storage.require_writable(out)
    shards = [
        write_shard(out, index, pa.Table.from_pylist([row], schema=IMAGE_ROW))
        for index, row in enumerate(rows)
    ]
    write_manifest(out, caption_banks(refs), shards, facts_of(rows, assembled), images_per_shard=1)


def _captions(dice: random.Random) -> Iterator[str]:
    """Yield captions of 2 to 8 words, no two alike."""
    seen = set()
    while True:
        caption = " ".join(dice.choices(WORDS, k=dice.randint(2, 8)))
        if caption not in seen:
            seen.add(caption)
            yield caption


def _boxes(dice: random.Random, count: int) -> list[tuple[float, float, float, float]]:
    width, height = SIZE_WH
    found = []
    for _ in range(count):
        w, h = dice.uniform(0.1, 0.5) * width, dice.uniform(0.1, 0.6) * height
        found.append((dice.uniform(0, width - w), dice.uniform(0, height - h), w, h))
    return found


def _refs(
    name: str, boxes: list[tuple[float, float, float, float]], captions: list[str]
) -> list[AnnotatedRef]:
    gold = tuple((f"{name}-{i}", box) for i, box in enumerate(boxes))
    sentences = tuple(Sentence(f"{name}-{i}", text) for i, text in enumerate(captions))
    return [
        AnnotatedRef(
            dataset=DATASET,
            split=SPLIT,
            ref_id=name,
            image_file=name,
            image_id=name,
            gold=gold,
            target_ids=(gold[0][0],),
            sentences=sentences,
            place=name,
        )
    ]


def _picture(seed: int, size_wh: tuple[int, int]) -> bytes:
    """Draw clouds of colour with some noise: SAM finds edges in them, JPEG has something to do."""
    generator = np.random.RandomState(seed)
    coarse = Image.fromarray(generator.randint(0, 256, (9, 12, 3)).astype(np.uint8))
    clouds = np.asarray(coarse.resize(size_wh, Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = clouds + generator.normal(0, 12, clouds.shape)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
