"""The published methods under stable names, and the tables they stand in.

A method is a value. To make one of your own, copy one and change it, in a module of your package that is
advertised under the entry point group `visual_prompt_bench.methods`; `--methods mine` knows it from then on:

    from operators.methods.catalog import add, find_method

    add(find_method("fgvp-p-d4-r").but(name="mine", reduce="max", score_dtype="float16_compat"))
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from operators.foveal import FovealAttention, Replacement
from operators.methods.method import Method, Subtraction, baseline
from operators.methods.variants import MaskSource, variant
from operators.rows.registry import PlugIns

B_PAIR = "ViT-B-32:openai,RN50x16:openai"
L_PAIR = "ViT-L-14-336:openai,RN50x16:openai"
B16 = "ViT-B-16:openai"


class Row(NamedTuple):
    """A line of a published table.

    Attributes:
        method: with its published settings.
        encoders: the published ensemble, as `--encoders` takes it; empty where none was published.
    """

    method: Method
    encoders: str = ""


def _row(name: str, notation: str, encoders: str, **settings: Any) -> Row:
    return Row(baseline(notation).but(name=name, **settings), encoders)


RECLIP = _row("reclip", "P|reclip_blur,R", B_PAIR)

# Identical scores: the first candidate wins. FALIP Table 6, "No mask".
FIRST_BOX = Method(name="first-box")
RANDOM = Method(name="random", ties="random")
# rec_scoring spec section 9: ReCLIP's drawings, the whole caption scored once, nothing after it.
BASELINE = _row("baseline", "P|reclip_blur", B_PAIR)

# rec_scoring spec section 12. Published with detections and SAM ViT-H. The scripts list the drawings in
# another order, which a sum does not notice.
FGVP_TABLE = (
    # Labelled B2, but the script crops too, and the text is the same for both (section 14, quirks 7 and 8).
    _row("cpt-adapted", "P|reclip_shade,R", B_PAIR, template="{} is in red color."),
    RECLIP,
    _row("redcircle-p-c1-r", "P|C1,R", B_PAIR),
    _row("fgvp-p-d4-r", "P|D4,R", B_PAIR),
    # Quoted there from the RedCircle paper, whose program is not published: run as the row below.
    _row("redcircle-c1-c3-c4-s-reported", "C1|C3|C4,S", L_PAIR),
    _row("redcircle-c1-c3-c4-s", "C1|C3|C4,S", L_PAIR),
    _row("fgvp-d1-d3-d4-s", "D1|D3|D4,S", L_PAIR),
    _row("redcircle-p-c1-c3-c4-s", "P|C1|C3|C4,S", L_PAIR),
    _row("fgvp-p-d1-d3-d4-s", "P|D1|D3|D4,S", L_PAIR),
    _row("redcircle-p-c1-c3-c4-rs", "P|C1|C3|C4,RS", L_PAIR),
    _row("fgvp-p-d1-d3-d4-rs", "P|D1|D3|D4,RS", L_PAIR),
)

# S as FALIP describes it; how many captions it draws is not published.
OTHER_IMAGES = Subtraction(exclude_same_image=True)


def _with_and_without_s(name: str, drawings: str) -> tuple[Row, Row]:
    return _row(name, drawings, B16), _row(f"{name}-s", drawings, B16, subtraction=OTHER_IMAGES)


# FALIP Table 1, published with gold boxes and with detections (rec_scoring spec section 13). CPT and PASTA
# are not determinable. What the ensembles draw is not published: these are ours (falip spec section 6).
FALIP_TABLE = (
    *_with_and_without_s("falip-plain", "I"),
    *_with_and_without_s("falip-redcircle", "falip_circle"),
    *_with_and_without_s("falip-redcircle-fa", "falip_circle+FA"),
    *_with_and_without_s("falip", "I+FA"),
    _row("falip-redcircle-ensemble-s", "C1|C3|C4", B16, subtraction=OTHER_IMAGES),
    _row("falip-ensemble-s", "I+FA|C3+FA|C4+FA", B16, subtraction=OTHER_IMAGES),
)

# Figure 7c: queries and keys of the raw image under the foveal mask, which the notation cannot say.
_REPLACE_QK = Replacement(taken_from_raw="qk", foveal=FovealAttention())
FALIP_REPLACE_QK = Method(name="falip-replace-qk", variants=(variant("falip_circle").attended(_REPLACE_QK),))

GROUPS: dict[str, tuple[Row, ...]] = {
    "fgvp-table": FGVP_TABLE,
    "falip-table": (*FALIP_TABLE, Row(RECLIP.method, B16)),
}
NAMED: dict[str, Row] = {}
PLUG_INS = PlugIns("visual_prompt_bench.methods")


def add(method: Method, encoders: str = "") -> None:
    """Make a method known by its name.

    Args:
        method: the method.
        encoders: what it runs with where nobody says otherwise, as `--encoders` takes it.

    Raises:
        ValueError: if the name is taken.
    """
    if method.name in NAMED or method.name in GROUPS or _is_notation(method.name):
        raise ValueError(f"there is a method {method.name!r} already; choose another name")
    NAMED[method.name] = Row(method, encoders)


def _is_notation(name: str) -> bool:
    try:
        return bool(baseline(name))
    except ValueError:
        return False


def find_method(text: str, mask_source: MaskSource = "box") -> Method:
    """Return a catalogued method by name, or make one from paper notation.

    Raises:
        ValueError: naming the nearest methods and drawings.
    """
    return _find(text, mask_source).method


def find_rows(text: str, mask_source: MaskSource = "box") -> Sequence[Row]:
    """Return the rows of a table by name (`fgvp-table`), or the one method that `find_method` finds.

    Raises:
        ValueError: as `find_method`.
    """
    if text in GROUPS:
        return [Row(row.method.with_masks(mask_source), row.encoders) for row in GROUPS[text]]
    return [_find(text, mask_source)]


def _find(text: str, mask_source: MaskSource) -> Row:
    PLUG_INS.load()
    if text in NAMED:
        method, encoders = NAMED[text]
        return Row(method.with_masks(mask_source), encoders)
    try:
        return Row(baseline(text, mask_source))
    except ValueError as problem:
        near = get_close_matches(text.lower(), [*NAMED, *GROUPS], n=3, cutoff=0.5)
        told = f"{problem}" + (f"; or the method {', '.join(near)}" if near else "") + PLUG_INS.told()
        raise ValueError(told) from problem


_ALONE = (Row(FIRST_BOX), Row(RANDOM), BASELINE, Row(FALIP_REPLACE_QK, B16))
for _row_of_table in (*_ALONE, *FGVP_TABLE, *FALIP_TABLE):
    add(*_row_of_table)
