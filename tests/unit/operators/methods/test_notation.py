"""How methods are written and what is said about those that cannot be read."""

from __future__ import annotations

import pytest

from operators.methods.notation import NotationError, parse


def outline(text: str) -> list[list[tuple[str, dict[str, str]]]]:
    """Return names and arguments of the layers of every drawing."""
    return [
        [(layer.name.text, {name.text: value.text for name, value in layer.arguments}) for layer in layers]
        for layers in parse(text).drawings
    ]


def test_ensembles_layers_and_arguments():
    written = "D4(sigma_px=50)+D1(line_color=blue)|P,S"
    assert outline(written) == [[("D4", {"sigma_px": "50"}), ("D1", {"line_color": "blue"})], [("P", {})]]
    post = parse(written).post
    assert post is not None and (post.text, post.column) == ("S", written.index("S") + 1)


def test_commas_may_belong_to_a_value():
    assert outline("B2(mask_color=0,128,255,alpha=0.3)") == [
        [("B2", {"mask_color": "0,128,255", "alpha": "0.3"})]
    ]
    assert outline("B2(alpha=0.3,mask_color=0, 128, 255)|P") == [
        [("B2", {"alpha": "0.3", "mask_color": "0, 128, 255"})],
        [("P", {})],
    ]


def test_blanks_do_not_matter():
    assert outline(" D4 ( sigma_px = 50 ) + D1 | P , S ") == outline("D4(sigma_px=50)+D1|P,S")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a drawing, found the end"),
        ("P|", 3, "expected a drawing, found the end"),
        ("P||D4", 3, "expected a drawing, found '|'"),
        ("P|+D4", 3, "expected a drawing, found '+'"),
        ("P,", 3, "expected post-processing, found the end"),
        ("P,S,S", 4, "expected the end, found ','"),
        ("P,S|D4", 4, "expected the end, found '|'"),
        ("P D4", 3, "or the end, found 'D'"),
        ("D4(", 4, "expected a parameter, found the end"),
        ("D4()", 4, "expected a parameter, found ')'"),
        ("D4(sigma_px)", 12, "expected '=', found ')'"),
        ("D4(sigma_px=)", 13, "expected a value, found ')'"),
        ("D4(sigma_px=5", 14, "expected ',' or ')', found the end"),
        ("D4(sigma_px=5,)|P", 15, "expected a parameter, found ')'"),
        ("D4)", 3, "or the end, found ')'"),
    ],
)
def test_what_cannot_be_read_is_located(text, column, message):
    with pytest.raises(NotationError) as found:
        parse(text)
    assert found.value.column == column, found.value
    assert message in str(found.value)
    assert f"column {column}" in str(found.value)
