"""Variants and methods: what notation stands for, and what enters a fingerprint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.foveal import FovealAttention
from operators.methods import catalog
from operators.methods.catalog import FIRST_BOX, GROUPS, NAMED, Row, add, find_method, find_rows
from operators.methods.method import Method, Subtraction, baseline
from operators.methods.variants import layered, variant
from operators.prompts import registered_prompts
from operators.relations import Relations
from operators.rows import registry
from operators.tables.published import assumed_results, published_results

PROMPTS = registered_prompts()


def test_published_settings():
    method = baseline("P|D1|D3|D4,S")
    assert [v.prompt for v in method.variants] == ["crop", "contour", "grayscale_mask", "blur_mask"]
    assert [v.canvas_source for v in method.variants] == ["native", *["sam_frame"] * 3]
    assert [v.canvas_px for v in method.variants] == [0, 384, 384, 384]
    assert method.subtraction is not None
    assert method.name == method.notation == "P|D1|D3|D4,S"


# rec_scoring spec section 12: drawings, post-processing and text of every row with settings of its own.
B_PAIR, L_PAIR = "ViT-B-32:openai,RN50x16:openai", "ViT-L-14-336:openai,RN50x16:openai"
C_NAMES = ["circle", "grayscale_circle_mask", "blur_circle_mask"]
D_NAMES = ["contour", "grayscale_mask", "blur_mask"]
PHOTO, RED = "a photo of {}", "{} is in red color."
FGVP_ROWS = {
    "cpt-adapted": (["crop", "reclip_shade"], "R", RED, B_PAIR),
    "reclip": (["crop", "reclip_blur"], "R", PHOTO, B_PAIR),
    "redcircle-p-c1-r": (["crop", "circle"], "R", PHOTO, B_PAIR),
    "fgvp-p-d4-r": (["crop", "blur_mask"], "R", PHOTO, B_PAIR),
    "redcircle-c1-c3-c4-s-reported": (
        ["circle", "grayscale_circle_mask", "blur_circle_mask"],
        "S",
        PHOTO,
        L_PAIR,
    ),
    "redcircle-c1-c3-c4-s": (C_NAMES, "S", PHOTO, L_PAIR),
    "fgvp-d1-d3-d4-s": (D_NAMES, "S", PHOTO, L_PAIR),
    "redcircle-p-c1-c3-c4-s": (["crop", *C_NAMES], "S", PHOTO, L_PAIR),
    "fgvp-p-d1-d3-d4-s": (["crop", *D_NAMES], "S", PHOTO, L_PAIR),
    "redcircle-p-c1-c3-c4-rs": (["crop", *C_NAMES], "RS", PHOTO, L_PAIR),
    "fgvp-p-d1-d3-d4-rs": (["crop", *D_NAMES], "RS", PHOTO, L_PAIR),
}


def test_the_rows_of_the_fgvp_table():
    found = {}
    for method, encoders in find_rows("fgvp-table"):
        post = ("R" if method.relations else "") + ("S" if method.subtraction else "")
        found[method.name] = ([v.prompt for v in method.variants], post, method.template, encoders)
        assert method.relations in (None, Relations()) and method.subtraction in (None, Subtraction())
        assert (method.reduce, method.score_dtype, method.ties) == ("sum", "float32", "first")
        for v in method.variants:
            assert v.canvas_source == ("sam_frame" if v.prompt in D_NAMES else "native")
            assert (v.canvas_px, v.fit, v.crop_pct) == (
                0 if v.definition.space == "native" else 384,
                "resize",
                1,
            )
            assert dict(v.parameters) == v.definition.parameters
        assert find_method(method.name) == method
    assert found == FGVP_ROWS
    settings = {s.settings for s, n in published_results().items() if n.source.startswith("FGVP")}
    assert {find_method(s).notation for s in settings} == {find_method(n).notation for n in FGVP_ROWS}


def test_the_rows_of_the_falip_table():
    rows = {method.name: (method, encoders) for method, encoders in find_rows("falip-table")}
    plain = {"falip-plain": "I", "falip-redcircle": "falip_circle"}
    plain |= {"falip-redcircle-fa": "falip_circle+FA", "falip": "I+FA"}
    for name, drawings in plain.items():
        method, with_s = rows[name][0], rows[f"{name}-s"][0]
        assert method.but(name=drawings) == baseline(drawings)
        assert with_s.but(name=name, subtraction=None) == method
        assert with_s.subtraction == Subtraction(captions=500, exclude_same_image=True)
    attention = {v.attention for v in rows["falip"][0].variants}
    assert attention == {FovealAttention(alpha=0.2, sigma_tokens=100, form="a", layers="last4")}
    ensemble = rows["falip-ensemble-s"][0]
    assert ensemble.codes == "I+FA|C3+FA|C4+FA" and ensemble.subtraction.exclude_same_image
    assert rows["reclip"][0] == find_method("reclip")
    assert {encoders for _, encoders in rows.values()} == {"ViT-B-16:openai"}
    assert len(rows) == 2 * len(plain) + 3


def test_every_published_number_is_of_a_method_that_exists():
    rows = [row for group in GROUPS for row in find_rows(group)]
    known = {row.method.notation for row in rows} | {FIRST_BOX.name}
    for settings in [*published_results(), *assumed_results()]:
        assert find_method(settings.settings).notation in known


def test_a_method_is_copied_and_changed():
    method = find_method("fgvp-p-d4-r").but(name="mine", reduce="max", score_dtype="float16_compat")
    assert (method.reduce, method.score_dtype, method.relations) == ("max", "float16_compat", Relations())
    assert method.variants == find_method("P|D4").variants
    with pytest.raises(ValueError, match="redcue"):
        method.but(redcue="max")
    with pytest.raises(ValueError, match="reduce"):
        method.but(reduce="median")


def test_a_method_of_ones_own_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr("operators.methods.catalog.NAMED", dict(NAMED))
    mine = find_method("reclip").but(name="mine")
    add(mine, "ViT-B-16:openai")
    assert find_rows("mine") == [Row(mine, "ViT-B-16:openai")]
    for taken in ("mine", "reclip", "fgvp-table"):
        with pytest.raises(ValueError, match="another name"):
            add(mine.but(name=taken))


def test_named_methods_take_other_masks():
    (row,) = find_rows("fgvp-p-d4-r", "exact")
    assert row.method.variants == baseline("P|D4", "exact").variants
    assert row.encoders == B_PAIR
    exact = [row.method for row in find_rows("fgvp-table", "exact")]
    assert {v.mask_source for method in exact for v in method.variants} == {"none", "exact"}
    with pytest.raises(ValueError, match="draws with masks"):
        find_method("fgvp-p-d4-r", "none")


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


@given(st.lists(drawings(), min_size=1, max_size=3), st.sampled_from(["", ",S", ",R", ",RS"]))
def test_notation_says_everything(written, post):
    method = baseline("|".join(written) + post)
    again = baseline(method.notation)
    assert again.but(name=method.name) == method
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
        ("D1(thickness_px=0)", "column 4, drawing 1: parameter 'thickness_px' must be between 1 and 1000"),
        ("B1(thickness_px=40000)", "must be between 1 and 1000"),
        ("P(enlarge_px=-1)", "parameter 'enlarge_px' must be at least 0"),
        ("C4(sigma_px=1e9)", "must be between 0 and 10000"),
        ("C1(fit=padding,crop_pct=0.5)", "crop_pct must be 1"),
        ("I+FA(alpha=inf)", "column 6, drawing 1: alpha: Input should be a finite number"),
        ("I+FA(enlarge_px=nan)", "finite number"),
        ("I+FA(enlarge_px=-5)", "greater than or equal to 0"),
        ("I+FA(alpha=0.1,alpha=0.2)", "column 16, drawing 1: parameter 'alpha' is given twice"),
        ("I+FAA", "column 3, drawing 1: unknown visual prompt 'FAA'; nearest: A2, A1; or FA"),
        ("I+unlesh", "; or unleash"),
        ("FGVP-P-D4-R", "or the method fgvp-p-d4-r"),
        ("FA+I", "column 1, drawing 1: FA is drawn on nothing; write it last"),
        ("I+FA(layers=12-9)", "'12-9' ends before it begins"),
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
    assert find_method("first-box") == FIRST_BOX
    assert find_method("random").ties == "random"
    with pytest.raises(ValueError, match="or the method fgvp-table"):
        find_method("fgvp-tabel")
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


@pytest.mark.parametrize("name", ["P", "P|D4,S", "fgvp-p-d4-r", "fgvp-table"])
def test_a_name_that_means_something_already_cannot_be_taken(name):
    with pytest.raises(ValueError, match="already"):
        catalog.add(find_method("falip").but(name=name))
    assert find_method("P") == baseline("P")


def test_methods_have_a_name_and_a_place_for_the_text():
    for setting in ({"name": ""}, {"template": "a photo"}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            find_method("falip").but(**setting)


def test_a_package_may_bring_methods(monkeypatch):
    class Advertised:
        def load(self):
            catalog.add(find_method("falip").but(name="mine", reduce="max"))

    found = {"visual_prompt_bench.methods": [Advertised()]}
    monkeypatch.setattr(registry, "entry_points", lambda group: found[group])
    monkeypatch.setattr(catalog, "NAMED", dict(catalog.NAMED))
    monkeypatch.setattr(catalog, "PLUG_INS", registry.PlugIns("visual_prompt_bench.methods"))
    assert find_method("mine").reduce == "max"


def test_settings_of_attention_come_back_with_every_digit():
    method = baseline("I+FA(alpha=0.12345678)")
    assert baseline(method.notation).variants == method.variants
    assert "foveal=FA" in find_method("falip-replace-qk").codes
