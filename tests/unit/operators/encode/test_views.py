"""Pictures and model inputs of variants: composition, fits, and the function for use without a pipeline."""

from __future__ import annotations

import doctest
import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

import operators.drawing
from operators.drawing import draw
from operators.encode.views import ImageViews
from operators.methods.method import baseline
from operators.methods.variants import variant
from operators.pixels.resize import resize_masks
from operators.prompts.colors import parse_color
from operators.prompts.text_color import lab_to_rgb, text_color

BOXES_XYWH = np.array([[20.0, 10.0, 60.0, 50.0], [90.0, 30.0, 40.0, 80.0]])
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))


def masks() -> np.ndarray:
    y, x = np.mgrid[:120, :160]
    centers = [(left + w / 2, top + h / 2, min(w, h) / 2) for left, top, w, h in BOXES_XYWH]
    return np.stack([np.hypot(x - cx, y - cy) < radius for cx, cy, radius in centers])


def drawn(text: str, **settings) -> list[np.ndarray]:
    return draw(picture(), BOXES_XYWH, text, masks_NHW=masks(), **settings).pictures


def test_the_example_runs():
    assert doctest.testmod(operators.drawing).failed == 0
    assert doctest.testmod(operators.drawing).attempted > 10


def test_layers_are_drawn_in_order():
    canvas = "canvas_px=120"
    blurred, lines = drawn(f"D4({canvas})"), drawn(f"D1({canvas},line_color=0,0,255)")
    line = [(picture == (0, 0, 255)).all(axis=-1) for picture in lines]
    both = drawn(f"D4({canvas})+D1(line_color=0,0,255)")
    assert all(line.sum() > 100 for line in line)
    for i in range(2):
        assert np.array_equal(both[i], np.where(line[i][..., None], (0, 0, 255), blurred[i]))
    # The other way round, the line is blurred away outside the mask and stays inside.
    other_way = drawn(f"D1({canvas},line_color=0,0,255)+D4")
    inside = masks()[0]
    assert np.array_equal(other_way[0][inside], lines[0][inside])
    assert not np.array_equal(other_way[0], both[0])


def test_photos_are_painted_and_then_cut():
    circles = drawn("falip_circle")
    cut = drawn("falip_circle+P")
    for (left, top, width, height), whole, crop in zip(BOXES_XYWH.astype(int), circles, cut, strict=True):
        assert np.array_equal(crop, whole[top : top + height, left : left + width])


def test_three_layers_and_blur_of_painted_pictures():
    reference = drawn("falip_circle_blur(sigma_px=9)")
    for one, other in zip(drawn("falip_blur(sigma_px=9)+falip_circle"), reference, strict=True):
        assert np.array_equal(one, other)
    assert len(drawn("B2+B3+B1")) == 2


@pytest.mark.parametrize(
    ("text", "size_hw"),
    [
        ("D4(canvas_px=60)", (60, 80)),
        ("D4(canvas_px=60,fit=padding)", (45, 60)),
        ("D4(canvas_px=60,crop_pct=0.5)", (120, 160)),
    ],
)
def test_canvas_settings(text, size_hw):
    result = draw(picture(), BOXES_XYWH, text, masks_NHW=masks(), size_px=60, **PLAIN)
    assert [p.shape for p in result.pictures] == 2 * [(*size_hw, 3)]
    assert result.inputs.shape == (2, 3, 60, 60)
    padded = (result.inputs[:, :, size_hw[0] :] == 0).all()
    assert padded or "padding" not in text


@pytest.mark.parametrize("fit", ["resize", "padding", "center_crop", "bias_crop"])
@pytest.mark.parametrize("name", ["C1", "fgvp_crop", "cpt_seg"])
def test_every_fit_makes_square_inputs(fit, name):
    result = draw(picture(), BOXES_XYWH, f"{name}(canvas_px=90,fit={fit})", masks_NHW=masks(), size_px=48)
    assert result.inputs.shape == (2, 3, 48, 48) and result.inputs.dtype == torch.float32
    assert result.inputs.isfinite().all() and result.inputs.is_contiguous()


def test_fits_show_different_parts():
    inputs = {
        fit: draw(picture(), BOXES_XYWH, f"C1(canvas_px=90,fit={fit})", size_px=48).inputs
        for fit in ("resize", "padding", "center_crop", "bias_crop")
    }
    values = list(inputs.values())
    assert all(not torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])


def test_pictures_are_what_inputs_are_made_from():
    views = ImageViews(picture(), BOXES_XYWH)
    for text in ("P", "C4"):
        (chosen,) = baseline(text).variants
        inputs = views.views(chosen, 40, **PLAIN)
        for drawing, tensor in zip(views.pictures(chosen), inputs, strict=True):
            assert drawing.dtype == np.uint8 and drawing.flags.c_contiguous
            filter = Image.Resampling.BICUBIC if text == "P" else Image.Resampling.BILINEAR
            squashed = np.asarray(Image.fromarray(drawing).resize((40, 40), filter)) / 255
            assert text != "P" or np.abs(squashed - tensor.permute(1, 2, 0).numpy()).max() < 1e-6
            assert abs(squashed.mean() - tensor.mean().item()) < 0.01


def test_drawings_on_the_stored_image_take_the_filter_that_the_weights_want():
    """Canvases have the published one, whatever the weights (visual_prompts spec section 8)."""
    views = ImageViews(picture(), BOXES_XYWH)
    (crop,), (circle,) = baseline("P").variants, baseline("C1").variants
    drawn = views.pictures(crop)
    for name in ("bilinear", "bicubic"):
        inputs = views.views(crop, 40, **PLAIN, interpolation=name)
        for pixels, tensor in zip(drawn, inputs, strict=True):
            filter = Image.Resampling[name.upper()]
            squashed = Image.fromarray(pixels).resize((40, len(pixels)), filter).resize((40, 40), filter)
            assert np.abs(np.asarray(squashed) / 255 - tensor.permute(1, 2, 0).numpy()).max() < 1e-6
    two = [views.views(circle, 40, **PLAIN, interpolation=name) for name in ("bilinear", "bicubic")]
    assert torch.equal(*two)


def test_no_region_gives_no_picture():
    for text in ("P", "D4", "cpt", "C1+C3"):
        result = draw(picture(), np.zeros((0, 4)), text, masks_NHW=np.zeros((0, 120, 160), bool))
        assert result.pictures == [] and result.inputs.shape == (0, 3, 224, 224)


def test_sam_masks_are_in_the_frame():
    in_frame = resize_masks(torch.from_numpy(masks()), (192, 256)).numpy()
    views = ImageViews(picture(), BOXES_XYWH, masks_of=lambda source: in_frame, frame_px=256)
    assert [p.shape for p in views.pictures(variant("D4", canvas_px=96))] == 2 * [(96, 128, 3)]


@pytest.mark.parametrize(
    ("boxes", "text", "given", "message"),
    [
        (BOXES_XYWH, "D4", {}, "give masks_NHW"),
        (BOXES_XYWH, "P|D4", {}, "one of its drawings at a time"),
        (BOXES_XYWH, "P,S", {}, "one of its drawings at a time"),
        (BOXES_XYWH, "P,R", {}, "one of its drawings at a time"),
        (BOXES_XYWH, "I+FA", {}, "changes attention"),
        (BOXES_XYWH[0], "P", {}, "boxes N x 4"),
        (BOXES_XYWH * np.nan, "P", {}, "finite boxes"),
        ([[1000, 1000, 3, 4]], "P", {}, "box 0 .* has no area in an image of 160 x 120"),
        ([[10, 10, 0, 4]], "P", {}, "box 0 .* has no area"),
        (BOXES_XYWH, "P", {"size_px": 0}, "size_px must be at least 1"),
        (BOXES_XYWH, "D4", {"masks_NHW": masks()[:1]}, "masks"),
        (BOXES_XYWH, "D4", {"masks_NHW": masks()[:, 1:]}, "masks"),
    ],
)
def test_bad_input_is_refused(boxes, text, given, message):
    with pytest.raises(ValueError, match=message):
        draw(picture(), boxes, text, **given)


def test_an_image_may_be_an_array():
    of_array = draw(np.asarray(picture()), BOXES_XYWH, "C1").pictures
    assert all(map(np.array_equal, of_array, draw(picture(), BOXES_XYWH, "C1").pictures))


def test_a_gray_image_is_drawn_in_color():
    (first, _) = draw(picture().convert("L"), BOXES_XYWH, "C1").pictures
    assert (first == (255, 0, 0)).all(axis=-1).any()


def test_a_region_has_one_random_color_in_every_space():
    views = ImageViews(
        picture(),
        np.array(BOXES_XYWH, dtype=float),
        masks_of=lambda source: masks() if source == "exact" else masks()[:, ::2, ::2],
        frame_px=80,
    )
    drawings = [
        variant("D2", mask_color="random", alpha=1.0, mask_source="exact"),
        variant("D2", mask_color="random", alpha=1.0, mask_source="box"),
        variant("cpt_seg", mask_color="random", alpha=1.0, mask_source="exact", canvas_px=99),
    ]
    for region in range(len(BOXES_XYWH)):
        colors = [_commonest(views.pictures(drawing)[region]) for drawing in drawings]
        assert len(set(colors)) == 1


def _commonest(picture_HWC: np.ndarray) -> tuple[int, ...]:
    colors, counts = np.unique(picture_HWC.reshape(-1, 3), axis=0, return_counts=True)
    return tuple(colors[counts.argmax()])


def test_nothing_outlives_the_views():
    views = ImageViews(picture(), np.array(BOXES_XYWH, dtype=float), masks_of=lambda _: masks())
    notations = "P", "D4", "A2", "C2(mask_color=random)"
    drawings = [baseline(text, mask_source="exact").variants[0] for text in notations]
    gone = [weakref.ref(views._sheet(drawing)) for drawing in drawings]
    for drawing in drawings:
        views.pictures(drawing)
    gc.disable()
    try:
        del views
        assert all(sheet() is None for sheet in gone)
    finally:
        gc.enable()


def test_the_color_of_a_text_is_put_in_everywhere():
    drawing = baseline("D4+D2(mask_color=text)+D1(line_color=text)").variants[0]
    assert drawing.colored_by_text and not drawing.in_color("1,2,3").colored_by_text
    assert drawing.in_color("1,2,3").code == "D4+D2(mask_color=1,2,3)+D1(line_color=1,2,3)"
    with pytest.raises(ValueError, match="text_color"):
        draw(picture(), BOXES_XYWH, "C1(line_color=text)")


def test_a_caption_may_choose_the_color():
    embedding = np.random.RandomState(1).standard_normal(512)
    color = text_color(embedding)
    assert text_color(embedding * 7) == color != text_color(-embedding)
    assert text_color(embedding, seed=1) != color
    (first, _) = drawn(f"D2(mask_color={color},alpha=1,canvas_px=120)")
    assert (first[masks()[0]] == parse_color(color)).all()
    for bad in (np.zeros(3), np.ones((2, 2)), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="text embedding"):
            text_color(bad)


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((100, 0, 0), (255, 255, 255)),
        ((53.24, 80.09, 67.20), (255, 0, 0)),
        ((87.73, -86.18, 83.18), (0, 255, 0)),
        ((32.30, 79.19, -107.86), (0, 0, 255)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_lab_is_converted_to_srgb(lab, rgb):
    assert tuple(lab_to_rgb(np.array(lab, dtype=float))) == rgb
