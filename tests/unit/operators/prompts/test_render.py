"""From rendered pictures to encoder inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from operators.prompts import VisualPrompt, find_prompt
from operators.prompts.canvas import Canvas
from operators.prompts.photo import Photo
from operators.prompts.render import canvas_to_input, native_to_input, render

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def levels(tensors: torch.Tensor) -> torch.Tensor:
    return (tensors * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def test_published_fit_is_two_plain_bilinear_steps():
    views = noise(2, 24, 36, 3)
    pixels = views.permute(0, 3, 1, 2).float() / 255
    expected = F.interpolate(F.interpolate(pixels, (24, 24), mode="bilinear"), (14, 14), mode="bilinear")
    tensors = canvas_to_input(views, canvas_px=24, size_px=14, **PLAIN)
    torch.testing.assert_close(tensors, expected)
    assert tensors.is_contiguous()


def test_clip_normalisation():
    tensors = canvas_to_input(torch.full((1, 8, 8, 3), 255, dtype=torch.uint8), canvas_px=8, size_px=8)
    expected = torch.tensor([(1 - 0.48145466) / 0.26862954, (1 - 0.4578275) / 0.26130258, 2.145897])
    torch.testing.assert_close(tensors[0, :, 3, 3], expected, rtol=0, atol=1e-5)
    white = torch.full((9, 5, 3), 255, dtype=torch.uint8)
    torch.testing.assert_close(native_to_input([white], 8), tensors, rtol=0, atol=1e-5)


def test_padding_adds_zeros_right_and_below():
    views = noise(1, 10, 16, 3)
    tensors = canvas_to_input(views, canvas_px=16, fit="padding", size_px=16, **PLAIN)
    assert torch.equal(levels(tensors)[:, :10], views)
    assert not tensors[:, :, 10:].any()


def test_center_crop_and_bias_crop_cut_squares():
    views = noise(3, 16, 30, 3)
    centre = canvas_to_input(views, canvas_px=16, fit="center_crop", size_px=16, **PLAIN)
    assert torch.equal(levels(centre), views[:, :, 7:23])
    boxes_xyxy = np.array([[0, 0, 4, 4], [10, 3, 13, 9], [25, 0, 29, 15]], np.float32)
    biased = canvas_to_input(views, canvas_px=16, fit="bias_crop", size_px=16, boxes_xyxy=boxes_xyxy, **PLAIN)
    for view, cut, left in zip(views, levels(biased), (0, 3, 14), strict=True):
        assert torch.equal(cut, view[:, left : left + 16])


@pytest.mark.parametrize(
    ("fit", "message"),
    [("padding", "cannot be padded"), ("bias_crop", "one box per view"), ("stretch", "unknown fit")],
)
def test_canvas_that_does_not_fit_is_refused(fit, message):
    with pytest.raises(ValueError, match=message):
        canvas_to_input(noise(1, 16, 30, 3), canvas_px=16, fit=fit)


def test_too_small_canvas_is_refused():
    with pytest.raises(ValueError, match="no square of 32"):
        canvas_to_input(noise(1, 16, 30, 3), canvas_px=32, fit="center_crop")


def test_native_pictures_are_squashed_by_pillow():
    pictures = [noise(40, 31, 3), noise(9, 70, 3)]
    tensors = native_to_input(pictures, 20, **PLAIN)
    for picture, tensor in zip(pictures, levels(tensors), strict=True):
        squashed = Image.fromarray(picture.numpy()).resize((20, 20), Image.Resampling.BICUBIC)
        assert np.array_equal(tensor, squashed)


def test_no_picture_gives_an_empty_batch():
    assert native_to_input([], 20).shape == (0, 3, 20, 20)
    assert canvas_to_input([], canvas_px=16, size_px=20).shape == (0, 3, 20, 20)
    assert canvas_to_input(noise(0, 16, 30, 3), canvas_px=16, size_px=20).shape == (0, 3, 20, 20)


def test_render_refuses_another_space_and_other_pictures():
    boxes = np.array([[1, 1, 5, 5]], np.float32)
    canvas = Canvas(noise(20, 20, 3), boxes, canvas_px=20)
    with pytest.raises(ValueError, match="native space"):
        render(find_prompt("crop"), canvas)
    with pytest.raises(ValueError, match="canvas space"):
        render(find_prompt("box"), Photo(noise(20, 20, 3), boxes))
    for crops, drawn in ((False, canvas.sharp), (True, [canvas.sharp.float()]), (True, [])):
        broken = VisualPrompt("broken", "", "canvas", "box", 1, lambda canvas, drawn=drawn: drawn, {}, crops)
        with pytest.raises(ValueError, match="broken"):
            render(broken, canvas)
