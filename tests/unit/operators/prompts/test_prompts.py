"""What every registered prompt must do. A new prompt is picked up from the registry; it only needs a digest.

`prompt_pixels.json` holds a SHA-256 of each prompt's pixels on the pictures below, keyed by name and version.
A prompt whose pixels change must raise its version, so that features of old pixels are not taken for its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from operators.methods.method import baseline
from operators.methods.variants import variant
from operators.pixels.geometry import xywh_to_xyxy
from operators.prompts import VisualPrompt, find_prompt, registered_prompts
from operators.prompts.canvas import Canvas
from operators.prompts.photo import Photo
from operators.prompts.render import render
from operators.prompts.sheet import Sheet

DIGESTS = json.loads((Path(__file__).parent / "prompt_pixels.json").read_text())
PROMPTS = registered_prompts()

HEIGHT_PX, WIDTH_PX, CANVAS_PX = 210, 250, 96
BOXES_XYWH = {
    "plain": (60.0, 40.0, 90.5, 120.25),
    "tiny": (20.3, 30.6, 0.4, 0.7),
    "border": (-15.0, 150.0, 80.0, 100.0),
    "whole": (0.0, 0.0, WIDTH_PX, HEIGHT_PX),
}

# Values other than the defaults, by parameter; numbers not listed are raised by one.
OTHER_VALUES = {
    **dict.fromkeys(("color", "line_color", "mask_color"), "7,100,200"),
    "alpha": 0.25,
    "gray_weights": "rec601",
    "sigma_px": 3.5,
    "contour_scale": 1.5,
    "enlarge_px": 12.0,
    "thickness_px": 9,
}


def colors_of(prompt: VisualPrompt) -> list[str]:
    return [parameter for parameter in prompt.parameters if parameter.endswith("color")]


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


def sheet_of(
    prompt: VisualPrompt, picture: np.ndarray, boxes_xywh: np.ndarray, masks: np.ndarray, device: str = "cpu"
) -> Sheet:
    image_u8 = torch.from_numpy(picture).to(device)
    if prompt.space == "native":
        return Photo(image_u8, boxes_xywh)
    planes = torch.from_numpy(masks) if prompt.region == "mask" else None
    boxes_xyxy = xywh_to_xyxy(boxes_xywh).astype(np.float32)
    return Canvas(image_u8, boxes_xyxy, planes, canvas_px=CANVAS_PX)


def draw(name: str, picture: np.ndarray, device: str = "cpu") -> list[np.ndarray]:
    """Draw a prompt with its defaults for every region; `render` checks type and number."""
    sheet = sheet_of(PROMPTS[name], picture, *boxes_and_masks(), device)
    return [drawn.cpu().numpy() for drawn in render(PROMPTS[name], sheet)]


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


@pytest.mark.parametrize("name", PROMPTS)
def test_sheet_is_not_changed_by_a_prompt(name):
    sheet = sheet_of(PROMPTS[name], color_picture(), *boxes_and_masks())
    before = sheet.sharp.clone()
    first = [drawn.clone() for drawn in render(PROMPTS[name], sheet)]
    again = render(PROMPTS[name], sheet)
    assert torch.equal(sheet.sharp, before)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("name", PROMPTS)
def test_pixels_change_only_with_the_version(name, device):
    key = f"{name} v{PROMPTS[name].version}"
    found = digest([drawn for picture in PICTURES.values() for drawn in draw(name, picture, device)])
    if not any(known.startswith(f"{name} v") for known in DIGESTS):
        pytest.skip(f'a new prompt; hold its pixels with "{key}": "{found}" in prompt_pixels.json')
    assert DIGESTS.get(key) == found, f"{key}: raise the version if pixels were meant to change; now {found}"


@pytest.mark.parametrize("name", PROMPTS)
def test_no_region_gives_no_picture(name):
    none = np.zeros((0, 4)), np.zeros((0, HEIGHT_PX, WIDTH_PX), bool)
    sheet = sheet_of(PROMPTS[name], color_picture(), *none)
    drawn = render(PROMPTS[name], sheet)
    assert len(drawn) == 0
    assert PROMPTS[name].crops or drawn.shape == (0, *sheet.size_px, 3)


@pytest.mark.parametrize("name", PROMPTS)
def test_each_region_is_drawn_on_its_own(name):
    boxes_xywh, masks = boxes_and_masks()
    together = draw(name, color_picture())
    for index, drawn in enumerate(together):
        alone = slice(index, index + 1)
        sheet = sheet_of(PROMPTS[name], color_picture(), boxes_xywh[alone], masks[alone])
        assert np.array_equal(render(PROMPTS[name], sheet)[0], drawn)


@pytest.mark.parametrize("name", PROMPTS)
def test_every_parameter_matters(name):
    prompt = PROMPTS[name]
    for parameter, default in prompt.parameters.items():
        value = OTHER_VALUES.get(parameter, default + 1 if not isinstance(default, str) else None)
        assert value is not None, f"{name}: add another value of {parameter!r} to OTHER_VALUES"
        sheet = sheet_of(prompt, color_picture(), *boxes_and_masks())
        changed = render(prompt, sheet, **{parameter: value})
        assert digest([drawn.numpy() for drawn in changed]) != digest(draw(name, color_picture())), parameter
        written = variant(name, **{parameter: value})
        assert baseline(written.code).variants == (written,)


@pytest.mark.parametrize("name", [name for name, p in PROMPTS.items() if colors_of(p)])
def test_colors_may_be_random_and_are_the_regions_own(name):
    prompt, (boxes_xywh, masks) = PROMPTS[name], boxes_and_masks()
    for parameter in colors_of(prompt):
        drawn = {}
        for seed in ("random", "random:0", "random:1"):
            sheet = sheet_of(prompt, color_picture(), boxes_xywh, masks)
            drawn[seed] = [picture.clone() for picture in render(prompt, sheet, **{parameter: seed})]
        assert all(map(torch.equal, drawn["random"], drawn["random:0"]))
        assert not all(map(torch.equal, drawn["random"], drawn["random:1"]))
        alone = sheet_of(prompt, color_picture(), boxes_xywh[2:3], masks[2:3])
        assert torch.equal(render(prompt, alone, **{parameter: "random"})[0], drawn["random"][2])


@pytest.mark.parametrize(
    "name", [name for name, p in PROMPTS.items() if not (p.crops and p.space == "canvas")]
)
def test_drawing_on_an_unpainted_picture_changes_nothing(name):
    """On other drawings a prompt finds one picture a region. Crops of canvases cut another picture then."""
    sheet = sheet_of(PROMPTS[name], color_picture(), *boxes_and_masks())
    painted = sheet.painted(sheet.sharp.expand(len(sheet), *sheet.size_px, 3))
    for one, other in zip(render(PROMPTS[name], sheet), render(PROMPTS[name], painted), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", [name for name, prompt in PROMPTS.items() if not prompt.crops])
def test_channels_lie_in_planes_as_encoders_take_them(name):
    drawn = render(PROMPTS[name], sheet_of(PROMPTS[name], color_picture(), *boxes_and_masks()))
    assert drawn.movedim(-1, -3)[0].is_contiguous()


def test_crops_of_painted_canvases_show_the_paint():
    boxes_xywh, masks = boxes_and_masks()
    canvas = sheet_of(PROMPTS["box_mask"], color_picture(), boxes_xywh, masks)
    painted = canvas.painted(render(PROMPTS["box_mask"], canvas, mask_color="white", alpha=1.0))
    for crop in render(PROMPTS["fgvp_crop"], painted)[:2]:
        assert (crop == 255).all()


def test_an_elongated_crop_is_capped():
    canvas = Canvas(
        torch.from_numpy(color_picture()), np.array([[0, 0, 250, 1]], np.float32), canvas_px=CANVAS_PX
    )
    with pytest.warns(UserWarning, match="aspect of 16"):
        (crop,) = render(PROMPTS["fgvp_crop"], canvas)
    assert crop.shape == (CANVAS_PX, 16 * CANVAS_PX, 3)


def test_paper_codes_lead_to_their_prompts():
    codes = {prompt.code: name for name, prompt in PROMPTS.items() if prompt.code}
    published = {"P": "crop", "C1": "circle", "C3": "grayscale_circle_mask", "C4": "blur_circle_mask"}
    published |= {"D1": "contour", "D2": "mask", "D3": "grayscale_mask", "D4": "blur_mask"}
    published |= {"I": "raw", "A1": "keypoint", "A2": "cpt", "B1": "box", "B2": "box_mask"}
    published |= {"B3": "grayscale_box_mask", "B4": "blur_box_mask", "C2": "circle_mask"}
    assert codes == published
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
        blank = Photo(torch.zeros(120, side_px, 3, dtype=torch.uint8), box_xywh)
        (drawn,) = render(PROMPTS["falip_circle"], blank)
        middle_row = drawn[40, :60, 0]
        assert int((middle_row == 255).sum()) == line_px
        assert line_px == 0 or middle_row[10] == 255


def test_a_package_may_bring_prompts(tmp_path: Path):
    """A prompt that another distribution advertises is registered, and passes the tests above by existing."""
    (tmp_path / "glowing.py").write_text(
        "from operators.prompts import visual_prompt\n\n"
        '@visual_prompt("glow", space="canvas", region="mask")\n'
        "def glow(canvas, *, line_color='yellow', thickness_px=6):\n"
        "    return canvas.stroke(canvas.contour_lines(thickness_px, 1.0), line_color)\n"
    )
    about = tmp_path / "glowing-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: glowing\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[visual_prompt_bench.prompts]\nglow = glowing\n")
    root = Path(__file__).parents[4]
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "glow and not package",
            __file__,
        ],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert int(re.search(r"(\d+) passed", finished.stdout)[1]) >= 8
