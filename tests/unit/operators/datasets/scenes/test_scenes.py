"""Scenes: everything that is said of them is true, of one thing only, and follows from the seed."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from operators.datasets.scenes.dataset import SPLITS, make_scene, references, split_sizes
from operators.datasets.scenes.layout import COLORS, PATTERNS, SHAPES
from operators.datasets.scenes.wording import SUPERLATIVES, VOCABULARY
from operators.pixels.geometry import iou_xywh

NUMBERS = range(25)


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(0, split, n) for split in SPLITS for n in NUMBERS]


def test_a_scene_follows_from_its_numbers():
    first, again, other = (make_scene(3, "val", n) for n in (7, 7, 8))
    assert first.png == again.png
    assert [e.sentence.text for of in first.expressions.values() for e in of] == [
        e.sentence.text for of in again.expressions.values() for e in of
    ]
    assert first.detections_xywh == again.detections_xywh
    assert hashlib.sha256(first.png).digest() != hashlib.sha256(other.png).digest()


def test_training_scenes_are_others_than_those_scored():
    names = {make_scene(0, split, 0).png for split in (*SPLITS, "train")}
    assert len(names) == len(SPLITS) + 1


def test_masks_are_disjoint_and_boxes_tight(scenes):
    for scene in scenes:
        assert scene.masks_NHW.sum(0).max() == 1
        for mask, (x, y, w, h) in zip(scene.masks_NHW, scene.boxes_xywh, strict=True):
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min()) == (x, y)
            assert (columns.max() + 1, rows.max() + 1) == (x + w, y + h)
            assert mask.sum() > 60


def test_things_are_painted_in_their_colour_inside_their_mask(scenes):
    """Plain things differ little from the middle of their mask; the ground does not get in."""
    for scene in scenes:
        for thing, mask in zip(scene.layout.things, scene.masks_NHW, strict=True):
            if thing.look.pattern == "plain":
                pixels = scene.image_HWC[mask].astype(float)
                assert np.abs(pixels - np.median(pixels, 0)).mean() < 12


def test_detections_find_most_things_and_add_false_ones(scenes):
    found, things, false = 0, 0, 0
    for scene in scenes:
        overlaps = iou_xywh(np.array(scene.detections_xywh), np.array(scene.boxes_xywh))
        found += int((overlaps.max(0) > 0.5).sum())
        things += len(scene.boxes_xywh)
        false += int((overlaps.max(1) < 0.5).sum())
    assert 0.7 < found / things < 0.97
    assert false > len(scenes)


def _fits(words: list[str], look) -> bool:
    said = {word for word in words if word in (*SHAPES, *COLORS, *PATTERNS)}
    return said <= {look.shape, look.color, look.pattern}


def _rank(way: str, thing) -> float:
    x, y = thing.center_xy
    return {"left": x, "right": -x, "top": y, "big": -thing.side_px, "small": thing.side_px}[way]


def _meant(text: str, layout) -> list[int]:
    """Work out what an expression means from its words alone, independently of how it was made."""
    words = text.replace("to the left of", "LEFT_OF").replace("to the right of", "RIGHT_OF")
    words = words.replace("on the left", "left").replace("on the right", "right").split()
    links = {"LEFT_OF": (0, 1), "RIGHT_OF": (0, -1), "above": (1, 1), "below": (1, -1)}
    link = next((i for i, word in enumerate(words) if word in links), None)
    head = words if link is None else words[:link]
    fitting = [i for i, thing in enumerate(layout.things) if _fits(head, thing.look)]
    if link is not None:
        axis, sign = links[words[link]]
        (mark,) = [t for t in layout.things if _fits(words[link + 1 :], t.look)]
        return [i for i in fitting if sign * (mark.center_xy[axis] - layout.things[i].center_xy[axis]) > 0]
    for way, told in SUPERLATIVES.items():
        if set(told) & set(words):
            return [min(fitting, key=lambda i: _rank(way, layout.things[i]))]
    return fitting


def test_every_expression_means_one_thing(scenes):
    kinds = {"superlative": 0, "relation": 0, "look": 0}
    for scene in scenes:
        for dataset, expressions in scene.expressions.items():
            for expression in expressions:
                text = expression.sentence.text
                assert _meant(text, scene.layout) == [expression.thing], text
                words = set(text.split())
                place = words & {word for told in SUPERLATIVES.values() for word in told}
                kind = "relation" if words & {"to", "above", "below"} else "superlative" if place else "look"
                kinds[kind] += 1
                if dataset == "scenes+":
                    assert kind == "look"
    assert min(kinds.values()) > 30


def test_words_are_known_and_parses_are_trees(scenes):
    for scene in scenes:
        for expressions in scene.expressions.values():
            for expression in expressions:
                parse = expression.sentence.parse
                tokens, heads = parse["tokens"], parse["heads"]
                assert " ".join(tokens) == expression.sentence.text
                assert set(tokens) <= set(VOCABULARY)
                assert [i for i, head in enumerate(heads) if i == head] == [parse["deps"].index("ROOT")]
                for start in range(len(tokens)):
                    position = start
                    for _ in tokens:
                        position = heads[position]
                    assert heads[position] == position
                ends = [0, *(chunk["end"] for chunk in parse["noun_chunks"])]
                starts = [chunk["start"] for chunk in parse["noun_chunks"]]
                assert all(end <= start for end, start in zip(ends, starts, strict=False))


def test_splits_refer_to_their_shapes(scenes):
    for split, shapes in SPLITS.items():
        for number in NUMBERS:
            scene = make_scene(0, split, number)
            for ref in references(scene, split):
                assert scene.layout.things[int(ref.target_ids[0])].look.shape in shapes


def test_a_hundred_scenes_give_three_hundred_expressions_a_dataset():
    sizes = split_sizes(100)
    assert sum(sizes.values()) == 100
    counts: dict[str, int] = {}
    for split, size in sizes.items():
        for number in range(size):
            for ref in references(make_scene(0, split, number), split):
                counts[ref.dataset] = counts.get(ref.dataset, 0) + len(ref.sentences)
    assert set(counts) == {"scenes", "scenes+", "scenesg"}
    assert min(counts.values()) >= 300
