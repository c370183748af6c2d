"""Relations R against the reference interpreter: trees, texts, probabilities, predictions, predicates.

A run that `raises` is a defect of the reference; what is done instead is tested in tests/unit/operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from operators.relations import BoxRelations, Program, Relations, compile_expression, execute
from operators.relations.sentence import Sentence
from operators.relations.tree import Entity, EntityReader

FILE = "parse.json"
# What the reference's arguments are called here. Its `--ternary` makes "between" do nothing.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "ternary": {"between": "ignored"},
    "no_rel": {"relations": False},
    "no_sup": {"superlatives": False},
    "no_null": {"null_words": False},
    "no_branch": {"need_keyword": False, "between": "ignored"},
    "sup_head_only": {"superlative_head_only": True},
    "sigmoid": {"probabilities": "sigmoid", "temperature": 2.0},
    "poss_no_expand": {"possessive": "append"},
    "no_possessive": {"possessive": "none"},
    "expand_chunks": {"expand_chunks": True, "between": "ignored"},
    "threshold2": {"certainty": 2.0},
    "area5": {},
}
TREES = ["default", "ternary", "no_rel", "no_sup", "no_null"]
PREDICATES = {
    "left_of": "left_of",
    "right_of": "right_of",
    "above": "above",
    "below": "below",
    "bigger_than": "bigger",
    "smaller_than": "smaller",
    "within": "inside",
}
COMPARED = {"committed": 209, "shared": 456}
ATOL = 1e-6


def parse_of(case: dict) -> dict:
    return {
        "parser": "golden",
        "tokens": case["words"],
        "heads": case["heads"],
        "deps": case["deps"],
        "noun_chunks": [{"start": start, "end": end} for start, end in case["noun_chunks"]],
    }


def plain(sentence: Sentence, entity: Entity | None) -> dict | None:
    if entity is None:
        return None
    return {
        "head_text": sentence.span_text(entity.head),
        "head_span": [entity.head.start, entity.head.end],
        "relations": [
            {"tokens": list(r.path), "entity": plain(sentence, r.entity)} for r in entity.relations
        ],
        "superlatives": [list(group) for group in entity.superlatives],
    }


def test_trees_are_identical(golden) -> None:
    for case in golden.json(FILE)["expressions"]:
        sentence = Sentence(parse_of(case), case["text"])
        grown = {str(t): [c.start, c.end] for t, c in sentence.expanded_chunk_of.items()}
        assert grown == case["expanded_chunks_by_token"], case["id"]
        expanded = {"expanded_chunks_ternary": VARIANTS["expand_chunks"]}
        for name, options in ({n: VARIANTS[n] for n in TREES} | expanded).items():
            reader = EntityReader(sentence, Relations(**options))
            assert plain(sentence, reader.extract(sentence.root)) == case["entities"][name], (
                case["id"],
                name,
            )


def large_enough(case: dict, variant: str, data: dict) -> np.ndarray | None:
    threshold = data["variants"][variant].get("box_area_threshold")
    if threshold is None:
        return None
    boxes, (width, height) = np.array(case["boxes_xywh"]), case["image_wh"]
    large = boxes[:, 2] * boxes[:, 3] / (width * height) > threshold
    return large if large.any() else ~large


def test_probabilities_predictions_and_texts(golden) -> None:
    data, compared = golden.json(FILE), 0
    for case in data["expressions"]:
        boxes = BoxRelations(np.array(case["boxes_xywh"]))
        scores = {text: np.float32(values) for text, values in case["scores"].items()}
        for variant, run in case["runs"].items():
            if "raises" in run:
                continue
            options, place = Relations(**VARIANTS[variant]), (case["id"], variant)
            program = compile_expression(parse_of(case), case["text"], options)
            found = execute(program, scores, boxes, options, large_enough(case, variant, data))
            # With one box the reference answers [1, 1].
            expected = np.array(run["probs"], dtype=float)[: len(boxes)]
            np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL, err_msg=str(place))
            assert int(found.argmax()) == run["pred"], place
            assert_same_calls(program, run, options, len(boxes), place)
            compared += 1
    assert compared == COMPARED[golden.root]


def assert_same_calls(program: Program, run: dict, options: Relations, boxes: int, place: tuple) -> None:
    """The same texts in the same order, but for the calls whose result the reference throws away: one a
    possessive relation, and all below a "between"."""
    entity = program.entity if boxes > 1 else None
    ours = [program.caption, *(entity.texts() if entity else ())]
    theirs = [text for text, _ in run["filter_calls"]]
    remaining = iter(theirs)
    assert all(text in remaining for text in ours), (place, ours, theirs)
    named = sum(n for name, n in run["counts"].items() if name.startswith("n_rel_"))
    thrown_away = run["counts"].get("n_rel", 0) - named if options.possessive != "none" else 0
    if "n_rel_between" not in run["counts"]:
        assert len(theirs) - len(ours) == thrown_away, (place, ours, theirs)


def test_predicates(golden) -> None:
    for case in golden.json(FILE)["relation_tensors"]:
        boxes = BoxRelations(np.array(case["boxes_xywh"]))
        for theirs, ours in PREDICATES.items():
            np.testing.assert_allclose(boxes.matrix(ours), case[theirs], rtol=0, atol=1e-12, err_msg=theirs)
        np.testing.assert_allclose(boxes.between, case["between"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", ["default", "area5", "sup_head_only", "no_branch"])
def test_where_the_reference_raises_there_is_an_answer(golden, variant: str) -> None:
    data, answered = golden.json(FILE), 0
    for case in data["expressions"]:
        run = case["runs"][variant]
        if "raises" not in run:
            continue
        options = Relations(**VARIANTS[variant])
        program = compile_expression(parse_of(case), case["text"], options)
        every = np.array(case["boxes_xywh"])
        kept = every[every[:, 2] * every[:, 3] > 0]
        large = large_enough(case | {"boxes_xywh": kept}, variant, data)
        scores = {
            text: np.random.RandomState(len(text)).standard_normal(len(kept)) for text in program.texts()
        }
        found = execute(program, scores, BoxRelations(kept), options, large)
        assert found.shape == (len(kept),)
        assert np.isfinite(found).all() or np.isnan(found).all()
        if large is not None and np.isfinite(found).all():
            assert (found[~large] == 0).all()
        answered += 1
    assert answered > 0
