"""The straightforward program of the bench against the reference executor: is it what it claims to be?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from infra.bench.plain_program import PROMPT, PlainProgram
from infra.bench.spent import Spent
from operators.encode.encoders.open_clip import build_clip
from operators.weights.recipe_weights import fill_state_dict

FILE, ARCHITECTURE = "e2e.npz", "ViT-B-32-quickgelu"
DRAWINGS = {"e0": ["P", "C1", "C4", "C3"], "e1": ["P", "reclip_blur"]}
SCORE_ATOL = 2e-3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> PlainProgram:
    shapes = {n: tuple(v.shape) for n, v in build_clip("ViT-B-32", True, "meta").state_dict().items()}
    path: Path = tmp_path_factory.mktemp("weights") / "recipe.safetensors"
    save_file({n: torch.from_numpy(v) for n, v in fill_state_dict(shapes).items()}, path)
    return PlainProgram(ARCHITECTURE, str(path), None, None, Spent())


@pytest.mark.real_size
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case_name", DRAWINGS)
def test_it_answers_as_the_reference(golden, program: PlainProgram, case_name: str) -> None:
    arrays = golden.arrays(FILE)
    if f"{case_name}__softmax_probs" not in arrays:
        pytest.skip(f"the {golden.root} set does not have {case_name}")
    case = next(c for c in golden.json("e2e.json")["cases"] if c["case"] == case_name)
    image = Image.fromarray(golden.arrays("images.npz")[case["image"]])
    boxes = arrays[f"{case_name}__boxes_xywh"].tolist()
    start = PROMPT.format("")
    negatives = [text.removeprefix(start) for text in case["negatives"]]
    assert all(text.startswith(start) for text in case["negatives"])
    found = [
        program.probabilities(image, boxes, caption, negatives, DRAWINGS[case_name])
        for caption in case["captions"]
    ]
    golden.assert_close(FILE, f"{case_name}__softmax_probs", np.stack(found), atol=SCORE_ATOL)
    assert program.spent.seconds["texts"] > 0 and program.spent.seconds["SAM encoder"] == 0
