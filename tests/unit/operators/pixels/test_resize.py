"""Resizing must equal Pillow's on every pixel, whichever way it is computed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from operators.pixels.resize import (
    canvas_size_px,
    interleaved,
    pillow_resize,
    planar,
    resize_masks,
    resize_with_matrices,
    resize_with_pillow,
)

IMAGES = Path(__file__).parents[3] / "parity" / "data" / "images.npz"


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def shapes() -> list[tuple[int, int, int, int]]:
    random = np.random.default_rng(1)
    drawn = [tuple(map(int, random.integers(1, limit, 4))) for limit in (8, 40, 130) for _ in range(25)]
    # One unchanged side, one-pixel sides, and both sides of the rule by which Pillow 13 swaps its passes.
    fixed = [(50, 40, 50, 90), (50, 40, 20, 40), (1, 30, 64, 1), (30, 1, 1, 64)]
    order = [(100, 60, 80, 50), (101, 60, 80, 50), (101, 60, 80, 61), (80, 60, 80, 50)]
    return [*drawn, *fixed, *order]


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_matrices_equal_pillow_in_two_calls(filter, device):
    for height, width, new_height, new_width in shapes():
        image, resample = noise(height, width, 3), Image.Resampling[filter.upper()]
        pillow = (
            Image.fromarray(image.numpy())
            .resize((new_width, height), resample)
            .resize((new_width, new_height), resample)
        )
        by_matrices = resize_with_matrices(image.to(device), (new_height, new_width), filter).cpu()
        assert np.array_equal(by_matrices, pillow), (height, width, new_height, new_width)
        assert torch.equal(pillow_resize(image, (new_height, new_width), filter), by_matrices)


def test_a_tall_picture_is_what_published_versions_made_of_it(device):
    """Pillow 8.2 to 12.3 in one call; 13 in one call gives other bytes (golden/dev/README.md)."""
    tall = np.ascontiguousarray(np.rot90(np.load(IMAGES)["coffee"]))
    assert tall.shape == (480, 320, 3)
    squashed = pillow_resize(torch.from_numpy(tall).to(device), (224, 224), "bicubic").cpu().numpy()
    expected = "a428fadce3e7363d599293af45819d6680d4becf4b7c082dbca49f727634c8fd"
    assert hashlib.sha256(np.ascontiguousarray(squashed).tobytes()).hexdigest() == expected


def test_each_picture_of_a_batch_is_resized_on_its_own():
    batch = noise(3, 20, 31, 3)
    for resize in (resize_with_pillow, resize_with_matrices):
        expected = torch.stack([resize(picture, (33, 12), "bilinear") for picture in batch])
        assert torch.equal(resize(batch, (33, 12), "bilinear"), expected)
    assert pillow_resize(batch[:0], (33, 12)).shape == (0, 33, 12, 3)


def test_same_size_is_a_copy():
    image = noise(5, 6, 3)
    copy = pillow_resize(image, (5, 6))
    assert torch.equal(copy, image)
    assert copy.data_ptr() != image.data_ptr()


@pytest.mark.parametrize(
    ("image", "size_px", "filter", "message"),
    [
        (torch.zeros(4, 4, 3), (2, 2), "bilinear", "uint8"),
        (torch.zeros(4, 4, dtype=torch.uint8), (2, 2), "bilinear", "uint8"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (0, 2), "bilinear", "cannot resize"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (2, 2), "lanczos", "unknown filter"),
    ],
)
def test_bad_arguments_are_refused(image, size_px, filter, message):
    with pytest.raises(ValueError, match=message):
        pillow_resize(image, size_px, filter)


@pytest.mark.parametrize(
    ("size_hw", "side_px", "side", "expected"),
    [
        ((480, 640), 384, "short", (384, 512)),
        ((500, 375), 384, "short", (512, 384)),
        ((333, 500), 384, "short", (384, 577)),
        ((200, 301), 224 / 0.875, "short", (256, 385)),
        ((200, 301), 336, "long", (223, 336)),
        ((1, 5000), 64, "long", (1, 64)),
    ],
)
def test_canvas_size(size_hw, side_px, side, expected):
    assert canvas_size_px(*size_hw, side_px, side) == expected


def test_canvas_size_refuses_nothing():
    with pytest.raises(ValueError, match="positive"):
        canvas_size_px(0, 10, 384)


def test_bool_masks_grow_to_every_pixel_with_weight():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 1, 1] = True
    resized = resize_masks(masks, (8, 8))
    expected = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected[0, 1:5, 1:5] = True
    assert torch.equal(resized, expected)


def test_bool_masks_are_those_of_the_published_interpolation():
    random = np.random.default_rng(0)
    fixed = [(1024, 683, 576, 384), (480, 640, 384, 512), (3, 5, 577, 691), (9, 9, 171, 203), (1, 1, 90, 64)]
    for old_h, old_w, new_h, new_w in [*fixed, *random.integers((1, 1, 65, 64), 300, (100, 4)).tolist()]:
        masks = torch.from_numpy(random.random((2, old_h, old_w)) < 0.1)
        published = F.interpolate(
            masks[:, None].float(), (new_h, new_w), mode="bilinear", align_corners=False
        )
        resized = resize_masks(masks, (new_h, new_w))
        assert torch.equal(resized, published[:, 0] > 0), (old_h, old_w, new_h, new_w)


def test_layouts_hold_the_same_picture():
    pictures = noise(2, 5, 7, 3)
    by_planes = planar(pictures)
    assert torch.equal(by_planes, pictures)
    assert by_planes.movedim(-1, -3).is_contiguous()
    for picture in (by_planes[0], pictures[0], by_planes[0, 1:3, 2:6]):
        assert interleaved(picture).flags.c_contiguous
        assert np.array_equal(interleaved(picture), picture.numpy())


def test_logits_are_cut_at_their_zero_crossing():
    logits = torch.tensor([[[-3.0, -1.0, 1.0, 3.0]] * 4])
    resized = resize_masks(logits, (4, 8))
    assert resized.tolist() == [[[False] * 4 + [True] * 4] * 4]


def test_masks_of_no_region_and_bad_masks():
    assert resize_masks(torch.zeros(0, 4, 4, dtype=torch.bool), (2, 3)).shape == (0, 2, 3)
    with pytest.raises(ValueError, match="N, H, W"):
        resize_masks(torch.zeros(4, 4, dtype=torch.bool), (2, 3))
