"""Variants and methods: what notation stands for, and what enters a fingerprint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.catalog import FIRST_BOX, find_method
from operators.method import Method, baseline
from operators.prompts import registered_prompts
from operators.published import published_results
from operators.variants import layered, variant

PROMPTS = registered_prompts()


def test_published_settings():
    method = baseline("P|D1|D3|D4,S")
    assert [v.prompt for v in method.variants] == ["crop", "contour", "grayscale_mask", "blur_mask"]
    assert [v.canvas_source for v in method.variants] == ["native", *["sam_frame"] * 3]
    assert [v.canvas_px for v in method.variants] == [0, 384, 384, 384]
    assert method.subtraction is not None
    assert method.name == method.notation == "P|D1|D3|D4,S"


def test_every_published_row_without_relations_can_be_written():
    for settings in {row.settings for row in published_results()}:
        drawings, _, post = settings.partition(",")
        if drawings != FIRST_BOX.name:
            assert baseline(drawings).codes == drawings
            if post in ("", "S"):
                assert baseline(settings).notation == settings


def test_values_of_variants_made_before_stay_what_they_were():
    """These dictionaries enter fingerprints: another one would leave every stored feature behind."""
    assert variant("crop").model_dump(mode="json") == {
        "prompt": "crop",
        "parameters": [["enlarge_px", 0.0]],
        "canvas_source": "native",
        "mask_source": "none",
        "canvas_px": 0,
    }
    assert variant("D4", canvas_px=224).model_dump(mode="json") == {
        "prompt": "blur_mask",
        "parameters": [["sigma_px", 100.0], ["contour_scale", 1.0]],
        "canvas_source": "sam_frame",
        "mask_source": "box",
        "canvas_px": 224,
    }


@pytest.mark.parametrize(
    "text",
    [
        "D4(sigma_px=50)",
        "D4(canvas_px=336)",
        "D4(fit=padding)",
        "D4(crop_pct=0.875)",
        "D4+D1",
        "D4+D1(line_color=blue)",
        "D1+D4",
    ],
)
def test_everything_written_changes_the_value(text):
    values = [baseline(other).model_dump(mode="json")["variants"] for other in ("D4", text)]
    assert values[0] != values[1]
    assert Method.model_validate(baseline(text).model_dump()) == baseline(text)


def test_versions_of_all_layers_are_in_the_value():
    (drawing,) = baseline("B1+C1").model_dump(mode="json")["variants"]
    assert drawing["then"][0]["version"] == PROMPTS["circle"].version


def test_numbers_have_the_type_of_their_default():
    same = [
        variant("D4", sigma_px=50),
        variant("D4", sigma_px=50.0),
        baseline("D4(sigma_px=5e1)").variants[0],
    ]
    assert len({v.model_dump_json() for v in same}) == 1


def test_layers_share_canvas_and_masks():
    (drawing,) = baseline("C1+D1(canvas_px=224)", mask_source="box").variants
    assert (drawing.canvas_source, drawing.mask_source, drawing.canvas_px) == ("sam_frame", "box", 224)
    assert drawing.code == "C1(canvas_px=224)+D1"
    (drawing,) = baseline("C1+D1", mask_source="exact").variants
    assert (drawing.canvas_source, drawing.mask_source) == ("native", "exact")
    assert layered([variant("C1"), variant("D1")]) == baseline("C1+D1").variants[0]


@st.composite
def drawings(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from([n for n, p in PROMPTS.items() if not p.crops]), min_size=1))
    layers = []
    for name in (n for n in names if PROMPTS[n].space == PROMPTS[names[0]].space):
        values = {
            "sigma_px": st.floats(0, 300),
            "alpha": st.floats(0, 1),
            "thickness_px": st.integers(1, 9),
            "line_color": st.sampled_from(["red", "1,2,3", "random:7"]),
            "mask_color": st.sampled_from(["cpt_red", "0,0,255", "random"]),
        }
        known = [parameter for parameter in PROMPTS[name].parameters if parameter in values]
        chosen = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
        arguments = [f"{parameter}={draw(values[parameter])}" for parameter in chosen]
        layers.append(name + (f"({','.join(arguments)})" if arguments else ""))
    return "+".join(layers)


@given(st.lists(drawings(), min_size=1, max_size=3), st.sampled_from(["", ",S"]))
def test_notation_says_everything(written, post):
    method = baseline("|".join(written) + post)
    again = baseline(method.notation)
    assert again.variants == method.variants and again.subtraction == method.subtraction
    assert again.notation == method.notation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P|crap", "column 3, drawing 2: unknown visual prompt 'crap'; nearest: crop"),
        ("P|D4+D9", "column 6, drawing 2: unknown visual prompt 'D9'"),
        (
            "D4(sigma=5)",
            "column 4, drawing 1: visual prompt 'blur_mask' has no parameter 'sigma'; nearest: sigma_px",
        ),
        ("D1(line_color=mauve)", "column 4, drawing 1: parameter 'line_color': unknown color 'mauve'"),
        (
            "D1(thickness_px=2.5)",
            "column 4, drawing 1: parameter 'thickness_px' takes a whole number, got '2.5'",
        ),
        ("D1(thickness_px=0)", "column 4, drawing 1: parameter 'thickness_px' must be at least 1"),
        ("D4(sigma_px=nan)", "parameter 'sigma_px' must be finite"),
        ("D2(mask_color=red,alpha=2)", "column 19, drawing 1: parameter 'alpha' must be between 0 and 1"),
        ("D3(gray_weights=luma)", "must be one of swapped, rec601"),
        ("D4(fit=stretch)", "must be one of resize, padding, center_crop, bias_crop"),
        ("D4(sigma_px=5,sigma_px=6)", "column 15, drawing 1: parameter 'sigma_px' is given twice"),
        ("P(canvas_px=224)", "'crop' draws in native space and has no canvas"),
        ("D4(canvas_px=224)+D1(canvas_px=384)", "column 22, drawing 1: canvas_px was 224 for another layer"),
        ("P+D1", "'crop' draws in native space, 'contour' in canvas space"),
        ("ov_seg+D1", "'ov_seg' cuts the picture and must come last"),
        ("P,T", "column 3: unknown post-processing 'T'; known: S"),
    ],
)
def test_complaints_name_the_column_and_what_is_known(text, message):
    with pytest.raises(ValueError) as found:
        find_method(text)
    assert message in str(found.value)


def test_mask_drawings_need_masks():
    with pytest.raises(ValueError, match="draws with masks"):
        baseline("D4", mask_source="none")
    with pytest.raises(ValueError, match="share the masks"):
        layered([variant("D4"), variant("D1", mask_source="exact")])


def test_methods_by_name():
    assert find_method("first-box") is FIRST_BOX
    with pytest.raises(ValueError, match="or the method first-box"):
        find_method("firstbox")


@pytest.mark.parametrize(
    ("given", "message"), [({"sigma_px": True}, "a number"), ({"sigma_px": "x"}, "a number")]
)
def test_values_of_another_type_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        variant("D4", **given)
    with pytest.raises(ValueError, match="whole number"):
        variant("D1", thickness_px=2.5)
