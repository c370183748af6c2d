"""The edits of the canvas against OpenCV, Pillow and the numbers of the visual_prompts spec."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from operators.prompts import find_prompt
from operators.prompts.canvas import Canvas
from operators.prompts.colors import PALETTE, parse_color
from operators.prompts.render import render


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def canvas_of(picture: np.ndarray, box_xyxy: tuple[float, ...], mask: np.ndarray | None = None) -> Canvas:
    masks = None if mask is None else torch.from_numpy(mask)[None]
    short_px = min(picture.shape[:2])
    return Canvas(torch.from_numpy(picture), np.array([box_xyxy], np.float32), masks, canvas_px=short_px)


def extent(plane: torch.Tensor) -> tuple[int, int, int, int, int]:
    y, x = np.nonzero(plane.numpy())
    return x.min(), x.max(), y.min(), y.max(), len(x)


def test_picture_and_boxes_are_resized_together():
    canvas = Canvas(torch.from_numpy(noise(480, 640)), np.array([[-5, 10, 320, 900]], np.float32))
    assert canvas.size_px == (384, 512)
    assert canvas.boxes_xyxy.tolist() == [[0, 8, 256, 383]]
    assert canvas.centers_xy.tolist() == [[126, 364]]
    resized = Image.fromarray(noise(480, 640)).resize((512, 384), Image.Resampling.BILINEAR)
    assert np.array_equal(canvas.sharp, resized)


def test_shapes_of_the_ellipse():
    canvas = canvas_of(noise(64, 64), (10, 20, 50, 40))
    assert extent(canvas.ellipse_regions()[0]) == (10, 50, 20, 40, 675)
    assert extent(canvas.ellipse_lines(2)[0]) == (9, 51, 19, 41, 288)


def test_box_edges_are_inclusive_and_a_two_pixel_line_grows_by_one():
    canvas = canvas_of(noise(64, 64), (10.9, 20.9, 50.9, 40.9))
    assert extent(canvas.box_regions()[0]) == (10, 50, 20, 40, 41 * 21)
    assert extent(canvas.box_lines(2)[0])[:4] == (9, 51, 19, 41)


def test_box_without_area_is_still_drawn():
    canvas = canvas_of(noise(64, 64), (30, 30, 30, 30))
    assert extent(canvas.ellipse_regions()[0])[4] == 1
    assert extent(canvas.ellipse_lines(2)[0])[4] == 5
    assert extent(canvas.box_regions()[0])[4] == 1


def test_gray_is_opencvs_conversion_of_swapped_channels():
    picture = noise(200, 200)
    canvas = canvas_of(picture, (0, 0, 9, 9))
    assert np.array_equal(canvas.gray("swapped")[..., 0], cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    assert np.array_equal(canvas.gray("rec601")[..., 2], cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    with pytest.raises(ValueError, match="swapped, rec601"):
        canvas.gray("luma")


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 0.5, 0.55, 0.65, 0.8, 0.9, 1.0])
def test_tint_is_opencvs_weighted_sum(alpha):
    picture = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=-1)
    canvas = canvas_of(picture, (0, 0, 15, 15))
    for name, color in PALETTE.items():
        overlay = np.full_like(picture, color)
        expected = cv2.addWeighted(overlay, alpha, picture, 1 - alpha, 0)
        assert np.array_equal(canvas.tint(canvas.box_regions(), name, alpha)[0], expected), name


def test_half_tint_rounds_half_to_even():
    canvas = canvas_of(np.full((8, 8, 3), 1, np.uint8), (0, 0, 7, 7))
    assert canvas.tint(canvas.box_regions(), "0,2,4", 0.5)[0, 0, 0].tolist() == [0, 2, 2]


def test_blur_is_pillows_and_made_once():
    picture = noise(70, 90)
    canvas = canvas_of(picture, (0, 0, 9, 9))
    assert np.array_equal(canvas.blurred(10.0), Image.fromarray(picture).filter(ImageFilter.GaussianBlur(10)))
    assert canvas.blurred(10.0) is canvas.blurred(10.0)


@pytest.mark.parametrize(
    ("prompt", "empty", "full"),
    [
        ("contour", "sharp", None),
        ("mask", "sharp", None),
        ("reverse_mask", None, "sharp"),
        ("grayscale_mask", "gray", "sharp"),
        ("blur_mask", "blurred", "sharp"),
    ],
)
def test_empty_and_full_masks(prompt, empty, full):
    picture = noise(60, 80)
    for filled, expected in ((False, empty), (True, full)):
        canvas = canvas_of(picture, (5, 5, 20, 20), np.full((60, 80), filled))
        pictures = {"sharp": canvas.sharp, "gray": canvas.gray(), "blurred": canvas.blurred(100.0)}
        if expected is not None:
            assert torch.equal(render(find_prompt(prompt), canvas)[0], pictures[expected])


def test_contour_outlines_holes_too():
    mask = np.zeros((80, 80), bool)
    mask[10:70, 10:70] = True
    mask[30:50, 30:50] = False
    lines = canvas_of(noise(80, 80), (0, 0, 9, 9), mask).contour_lines(1)[0]
    assert lines[10, 40] and lines[29, 40]
    assert not lines[20, 40] and not lines[40, 40]


def test_scaled_region_grows_about_its_centroid():
    mask = np.zeros((80, 80), bool)
    mask[30:51, 20:61] = True
    canvas = canvas_of(noise(80, 80), (0, 0, 9, 9), mask)
    assert canvas.scaled(canvas.masks, 1.0) is canvas.masks
    assert extent(canvas.scaled(canvas.masks, 0.5)[0])[:4] == (30, 50, 35, 45)


def test_mask_prompts_refuse_a_canvas_without_masks():
    with pytest.raises(ValueError, match="needs masks"):
        render(find_prompt("D4"), canvas_of(noise(20, 20), (1, 1, 9, 9)))


@pytest.mark.parametrize("thickness_px", [0, -1])
def test_lines_have_at_least_one_pixel(thickness_px):
    with pytest.raises(ValueError, match="thickness_px"):
        canvas_of(noise(20, 20), (1, 1, 9, 9)).box_lines(thickness_px)


def test_masks_must_fit_the_picture():
    with pytest.raises(ValueError, match="masks"):
        canvas_of(noise(20, 20), (1, 1, 9, 9), np.zeros((21, 20), bool))
    with pytest.raises(ValueError, match="start image"):
        Canvas(torch.zeros(1, 20, 20, 3, dtype=torch.uint8), np.zeros((0, 4), np.float32))


def test_colors_are_names_or_numbers():
    assert parse_color("cpt_red") == (240, 0, 30)
    assert parse_color("1, 2,255") == (1, 2, 255)
    for text in ("mauve", "1,2", "1,2,256", "-1,2,3", "1,2,x", ""):
        with pytest.raises(ValueError, match="unknown color"):
            parse_color(text)
