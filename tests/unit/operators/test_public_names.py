"""What other programs import: a name may be added here, and none may go without a word in the changelog."""

from __future__ import annotations

from importlib import import_module

import pytest

import operators

PINNED = {
    "operators.catalog": {"Method", "Row", "add", "find_method", "find_rows"},
    "operators.datasets.registry": {"Dataset", "register"},
    "operators.drawing": {"Drawn", "draw"},
    "operators.encode.encoder": {"EncoderKind", "register"},
    "operators.prompts": {"find_prompt", "registered_prompts", "visual_prompt"},
    "operators.prompts.canvas": {"Canvas"},
    "operators.prompts.photo": {"Photo"},
    "operators.segment.segmenter": {"SegmenterKind", "register"},
}


def test_the_list_is_the_pinned_one() -> None:
    assert set(operators.PUBLIC) == {f"{module}:{name}" for module, names in PINNED.items() for name in names}


@pytest.mark.parametrize("public", operators.PUBLIC)
def test_every_public_name_can_be_imported_and_says_what_it_is(public: str) -> None:
    module, _, name = public.partition(":")
    assert getattr(import_module(module), name).__doc__
