"""FALIP against its released code: tokens and bumps, and features of real-size towers with recipe weights."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from foveal_oracle import largest_difference, masked_batch
from PIL import Image
from torch import Tensor

from operators.encode.encoders.open_clip import build_clip
from operators.foveal import FovealAttention, layer_indices
from operators.foveal.execution import masked_features
from operators.foveal.features import attention_rows
from operators.foveal.tokens import TokenGrid, bump_rows, mask_matrices, token_spans
from operators.foveal.tower import Pictures, VisionTower
from operators.prompts.render import CLIP_MEAN, CLIP_STD
from operators.weights.recipe_weights import fill_state_dict

MASKS, FEATURES = "falip_mask.npz", "falip_features.npz"
PATCH_PX = {"base": 16, "large": 14}
MASK_ATOL = 1e-7
FEATURE_RTOL = 2e-4  # of the largest feature; 1e-5 is expected
SENSITIVE = 20  # some arrays are of masks this many times as strong
EXACT, SHARED = 2e-6, 1e-5  # differences of L2-normalised features


def cases(arrays):
    return zip(arrays["image_wh"].tolist(), arrays["boxes_xyxy"], strict=True)


@pytest.mark.parametrize("size", PATCH_PX)
def test_tokens_are_the_reference_ones(golden, size):
    grid = TokenGrid((224, 224), (PATCH_PX[size], PATCH_PX[size]))
    found = []
    for image_wh, box_xyxy in cases(golden.arrays(MASKS)):
        ((left, top, right, bottom),) = token_spans(box_xyxy[None], tuple(image_wh), grid)
        first = 1 + top * grid.shape[1]
        found.append([first + left, first + right + 1, bottom - top + 1])
    golden.assert_equal(MASKS, f"{size}_start_end_rows", np.array(found, dtype=np.int32))


@pytest.mark.parametrize("size", PATCH_PX)
def test_masks_are_the_reference_ones(golden, size):
    arrays, grid = golden.arrays(MASKS), TokenGrid((224, 224), (PATCH_PX[size], PATCH_PX[size]))
    rows = [
        [bump_rows(box_xyxy[None], tuple(image_wh), grid, alpha, 100.0)[0] for alpha in arrays["v"].tolist()]
        for image_wh, box_xyxy in cases(arrays)
    ]
    golden.assert_close(MASKS, f"{size}_row0_np1", rows, atol=MASK_ATOL)


@pytest.mark.parametrize("size", PATCH_PX)
def test_masks_of_grown_boxes_are_those_of_larger_ones(golden, size):
    arrays, grid, grown_px = (
        golden.arrays(MASKS),
        TokenGrid((224, 224), (PATCH_PX[size], PATCH_PX[size])),
        4.0,
    )
    rows = []
    for image_wh, (left, top, right, bottom) in cases(arrays):
        smaller_xywh = np.array([[left + grown_px, top + grown_px, right - left - 8, bottom - top - 8]])
        settings = [FovealAttention(alpha=alpha, enlarge_px=grown_px) for alpha in arrays["v"].tolist()]
        rows.append([attention_rows(s, smaller_xywh, tuple(image_wh), grid)[0] for s in settings])
    golden.assert_close(MASKS, f"{size}_row0_np1", rows, atol=MASK_ATOL)


class Run(NamedTuple):
    """What a tower makes of the regions of one picture, and of some of them by other ways."""

    features: Tensor
    stronger: Tensor
    zero: Tensor
    plain: Tensor
    last_alone: Tensor
    two_unshared: Tensor


def run_tower(architecture: str, size: str) -> dict[str, Run]:
    """Run a tower of published size with recipe weights on every picture that has features."""
    visual = build_clip(architecture, quick_gelu=True, device="meta").visual
    shapes = {f"visual.{name}": tuple(value.shape) for name, value in visual.state_dict().items()}
    state = {name.removeprefix("visual."): value for name, value in fill_state_dict(shapes).items()}
    visual.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, assign=True)
    tower = VisionTower(visual.eval().requires_grad_(False))
    arrays, images = (np.load(Path(__file__).parent / "data" / name) for name in (FEATURES, "images.npz"))
    found = {}
    for name in [name.split("__")[1] for name in arrays if name.startswith(f"{size}__")]:
        if name not in found:
            rows = torch.from_numpy(arrays[f"{size}__{name}__mask_row0"])
            with torch.inference_mode():
                found[name] = run_picture(visual, tower, squashed(images[name]), mask_matrices(rows, "a"))
    return found


def run_picture(visual, tower: VisionTower, view: Tensor, masks: Tensor) -> Run:
    layers = layer_indices("ge9", len(tower.blocks))

    def shared(masks: Tensor) -> Tensor:
        pictures = Pictures(view, torch.zeros(len(masks), dtype=torch.long))
        return masked_features(tower, pictures, masks, layers)

    return Run(
        features=shared(masks),
        stronger=shared(SENSITIVE * masks),
        zero=shared(0 * masks[:1]),
        plain=visual(view),
        last_alone=shared(SENSITIVE * masks[-1:]),
        two_unshared=masked_batch(visual, view.expand(2, -1, -1, -1), SENSITIVE * masks[:2], layers),
    )


def squashed(image_HWC: np.ndarray) -> Tensor:
    small = Image.fromarray(image_HWC).resize((224, 224), Image.Resampling.BICUBIC)
    levels = (np.asarray(small, dtype=np.float32) / 255 - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)
    return torch.from_numpy(levels).permute(2, 0, 1)[None].contiguous()


@pytest.fixture(scope="module")
def vit_b_16() -> dict[str, Run]:
    return run_tower("ViT-B-16", "base")


@pytest.fixture(scope="module")
def vit_l_14() -> dict[str, Run]:
    return run_tower("ViT-L-14", "large")


def check(golden, size: str, runs: dict[str, Run]) -> None:
    arrays = golden.arrays(FEATURES)
    for picture, run in runs.items():
        for name, actual in (
            ("features", run.features),
            ("features_mask_x20", run.stronger),
            ("features_zero_mask", run.zero[0]),
        ):
            array = f"{size}__{picture}__{name}"
            largest = np.abs(arrays[array]).max()
            error = np.abs(actual.numpy() - arrays[array]).max() / largest
            print(f"{array}: largest difference {error:.1e} of the largest feature")
            golden.assert_close(FEATURES, array, actual, atol=FEATURE_RTOL * largest)
        assert largest_difference(run.features, run.plain) > 1e-4, "the mask must matter"
        assert largest_difference(run.zero, run.plain) <= EXACT
        assert largest_difference(run.last_alone, run.stronger[-1:]) <= EXACT
        assert largest_difference(run.two_unshared, run.stronger[:2]) <= SHARED


@pytest.mark.real_size
@pytest.mark.timeout(240)
def test_vit_b_16_of_published_size(golden, vit_b_16):
    assert set(vit_b_16) == {"astronaut", "coffee", "chelsea"}
    check(golden, "base", vit_b_16)


@pytest.mark.real_size
@pytest.mark.timeout(480)
def test_vit_l_14_of_published_size(golden, vit_l_14):
    assert set(vit_l_14) == {"astronaut"}
    check(golden, "large", vit_l_14)
