"""What every registered prompt must do. A new prompt is picked up from the registry; it only needs a digest.

`prompt_pixels.json` holds a SHA-256 of each prompt's pixels on the pictures below, keyed by name and version.
A prompt whose pixels change must raise its version, so that features of old pixels are not taken for its own.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from operators.geometry import xywh_to_xyxy
from operators.prompts import find_prompt, registered_prompts
from operators.prompts.canvas import Canvas
from operators.prompts.render import render_canvas

DIGESTS = json.loads((Path(__file__).parent / "prompt_pixels.json").read_text())
PROMPTS = registered_prompts()

HEIGHT_PX, WIDTH_PX, CANVAS_PX = 210, 250, 96
BOXES_XYWH = {
    "plain": (60.0, 40.0, 90.5, 120.25),
    "tiny": (20.3, 30.6, 0.4, 0.7),
    "border": (-15.0, 150.0, 80.0, 100.0),
    "whole": (0.0, 0.0, WIDTH_PX, HEIGHT_PX),
}


def color_picture() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    waves = np.stack([x * 3 + y, x ^ y, (x * y) // 7], axis=-1) % 256
    return waves.astype(np.uint8)


def gray_picture() -> np.ndarray:
    return np.repeat(color_picture()[..., :1], 3, axis=-1)


PICTURES = {"color": color_picture(), "gray": gray_picture()}


def boxes_and_masks() -> tuple[np.ndarray, np.ndarray]:
    """Every box with its elliptic mask with a hole, then the first box with an empty and with a full mask."""
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    masks = []
    for left, top, width, height in BOXES_XYWH.values():
        radius = np.hypot((x - left - width / 2) / width, (y - top - height / 2) / height) * 2
        masks.append((radius <= 1) & (radius >= 0.4))
    masks += [np.zeros((HEIGHT_PX, WIDTH_PX), bool), np.ones((HEIGHT_PX, WIDTH_PX), bool)]
    boxes = np.array([*BOXES_XYWH.values(), BOXES_XYWH["plain"], BOXES_XYWH["plain"]])
    return boxes, np.stack(masks)


def draw(name: str, picture: np.ndarray, device: str = "cpu") -> list[np.ndarray]:
    """Draw a prompt with its defaults; check type and number; return uint8 pictures."""
    prompt, (boxes_xywh, masks) = PROMPTS[name], boxes_and_masks()
    if prompt.space == "native":
        pictures = prompt.draw(Image.fromarray(picture), boxes_xywh)
        assert all(drawn.mode == "RGB" for drawn in pictures)
        drawn = [np.asarray(picture) for picture in pictures]
    else:
        boxes_xyxy = xywh_to_xyxy(boxes_xywh).astype(np.float32)
        planes = torch.from_numpy(masks) if prompt.region == "mask" else None
        canvas = Canvas(torch.from_numpy(picture).to(device), boxes_xyxy, planes, canvas_px=CANVAS_PX)
        drawn = [*render_canvas(prompt, canvas).cpu().numpy()]
    assert len(drawn) == len(boxes_xywh)
    return drawn


def digest(pictures: list[np.ndarray]) -> str:
    sha256 = hashlib.sha256()
    for picture in pictures:
        sha256.update(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    return sha256.hexdigest()


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_draws_every_region_and_leaves_its_input_alone(name, picture):
    original = PICTURES[picture].copy()
    first, second = draw(name, original), draw(name, original)
    for drawn in first:
        assert drawn.dtype == np.uint8
        assert drawn.ndim == 3 and drawn.shape[2] == 3 and min(drawn.shape) > 0
    assert digest(first) == digest(second)
    assert np.array_equal(original, PICTURES[picture])


@pytest.mark.parametrize("name", [name for name, prompt in PROMPTS.items() if prompt.space == "canvas"])
def test_canvas_is_not_changed_by_a_prompt(name):
    prompt, (boxes_xywh, masks) = PROMPTS[name], boxes_and_masks()
    canvas = Canvas(
        torch.from_numpy(color_picture()),
        xywh_to_xyxy(boxes_xywh),
        torch.from_numpy(masks),
        canvas_px=CANVAS_PX,
    )
    before = canvas.sharp.clone(), canvas.masks.clone()
    drawn = render_canvas(prompt, canvas)
    again = render_canvas(prompt, canvas).clone()
    drawn.zero_()
    assert torch.equal(canvas.sharp, before[0]) and torch.equal(canvas.masks, before[1])
    assert torch.equal(render_canvas(prompt, canvas), again)


@pytest.mark.parametrize("name", PROMPTS)
def test_pixels_change_only_with_the_version(name, device):
    key = f"{name} v{PROMPTS[name].version}"
    found = digest([drawn for picture in PICTURES.values() for drawn in draw(name, picture, device)])
    assert DIGESTS.get(key) == found, f"{key}: raise the version if pixels were meant to change; now {found}"


@pytest.mark.parametrize("name", PROMPTS)
def test_no_region_gives_no_picture(name):
    prompt, none = PROMPTS[name], np.zeros((0, 4))
    if prompt.space == "native":
        assert prompt.draw(Image.fromarray(color_picture()), none) == []
    else:
        masks = torch.zeros(0, HEIGHT_PX, WIDTH_PX, dtype=torch.bool)
        canvas = Canvas(torch.from_numpy(color_picture()), none, masks, canvas_px=CANVAS_PX)
        assert render_canvas(prompt, canvas).shape == (0, *canvas.size_px, 3)


def test_paper_codes_lead_to_their_prompts():
    codes = {prompt.code: name for name, prompt in PROMPTS.items() if prompt.code}
    published = {"P": "crop", "C1": "circle", "C3": "grayscale_circle_mask", "C4": "blur_circle_mask"}
    published |= {"D1": "contour", "D2": "mask", "D3": "grayscale_mask", "D4": "blur_mask"}
    assert {code: codes[code] for code in published} == published
    assert find_prompt("D4") is PROMPTS["blur_mask"]


def test_prompts_can_be_listed_without_heavy_imports():
    program = (
        "import sys; from operators.prompts import registered_prompts; registered_prompts();"
        "print([name for name in ('torch', 'cv2', 'ray') if name in sys.modules])"
    )
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "[]"


def test_falip_line_is_a_two_hundredth_of_the_long_side():
    box_xywh = np.array([[10.0, 10.0, 100.0, 60.0]])
    for side_px, line_px in ((199, 0), (200, 1), (640, 3)):
        blank = Image.new("RGB", (side_px, 120))
        (drawn,) = PROMPTS["falip_circle"].draw(blank, box_xywh)
        middle_row = np.asarray(drawn)[40, :60, 0]
        assert int((middle_row == 255).sum()) == line_px
        assert line_px == 0 or middle_row[10] == 255
