"""The blur must equal Pillow's on every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from operators.pixels.blur import blur_on_device, box_weights, gaussian_blur

SIGMAS_PX = sorted(
    {*np.linspace(0.25, 12, 60).tolist(), *np.geomspace(12, 300, 50).tolist(), 0.0, 1.0, 2.0, 100.0}
)
SIZES_HW = [(1, 1), (1, 9), (9, 1), (2, 3), (31, 17), (64, 65), (5, 300)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow_blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma_px)))


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_equals_pillow(size_hw, device):
    assert len(SIGMAS_PX) >= 100
    image = noise(*size_hw)
    planes = torch.from_numpy(image).to(device).movedim(-1, -3)
    for sigma_px in SIGMAS_PX:
        expected = torch.from_numpy(pillow_blur(image, sigma_px))
        assert torch.equal(blur_on_device(planes, sigma_px).movedim(-3, -1).cpu(), expected), sigma_px
        assert torch.equal(gaussian_blur(torch.from_numpy(image), sigma_px), expected), sigma_px


@pytest.mark.parametrize("level", [0, 255])
def test_flat_extremes_do_not_overflow(level):
    image = torch.full((33, 20, 3), level, dtype=torch.uint8)
    for sigma_px in SIGMAS_PX:
        assert torch.equal(gaussian_blur(image, sigma_px), image)
        assert torch.equal(blur_on_device(image, sigma_px), image)


def test_each_picture_of_a_batch_is_blurred_on_its_own():
    batch = torch.from_numpy(np.stack([noise(21, 34, seed) for seed in range(4)]))
    expected = torch.stack([gaussian_blur(picture, 3.7) for picture in batch])
    assert torch.equal(gaussian_blur(batch, 3.7), expected)
    planes = blur_on_device(batch.movedim(-1, -3), 3.7).movedim(-3, -1)
    assert torch.equal(planes, expected)
    nested = gaussian_blur(batch.reshape(2, 2, 21, 34, 3), 3.7)
    assert torch.equal(nested.reshape(4, 21, 34, 3), expected)


def test_result_is_fresh_and_contiguous():
    image = torch.from_numpy(noise(8, 9))
    for sigma_px in (0.0, 2.0):
        before = image.clone()
        blurred = gaussian_blur(image, sigma_px)
        blurred.zero_()
        assert blurred.is_contiguous()
        assert torch.equal(image, before)
        blur_on_device(image, sigma_px).zero_()
        assert torch.equal(image, before)


def test_weights_of_sigma_100():
    weights = box_weights(100)
    assert weights.exact_radius_px == pytest.approx(99.4975, abs=1e-4)
    assert (weights.radius_px, weights.inner, weights.outer) == (99, 83888, 41752)


def test_weights_are_rounded_in_single_precision():
    assert box_weights(1.0).inner == 11184811


@pytest.mark.parametrize("sigma_px", [-1.0, float("nan"), float("inf")])
def test_impossible_sigma_is_refused(sigma_px):
    with pytest.raises(ValueError, match="sigma_px"):
        gaussian_blur(torch.zeros(4, 4, 3, dtype=torch.uint8), sigma_px)


@pytest.mark.parametrize("image", [torch.zeros(4, 4, 3), torch.zeros(4, 4, dtype=torch.uint8)])
def test_other_tensors_are_refused(image):
    with pytest.raises(ValueError, match="uint8"):
        gaussian_blur(image, 1.0)
