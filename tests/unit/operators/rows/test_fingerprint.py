"""Fingerprints: equal values give equal text, different values different text."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.rows.fingerprint import FINGERPRINT_CHARS, canonical_json, fingerprint, minor_version

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: object) -> None:
    assert fingerprint(reversed_keys(value)) == fingerprint(value)


@given(VALUES)
def test_the_text_says_everything(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.lists(SCALARS, min_size=2, max_size=5, unique_by=repr))
def test_the_order_of_lists_matters(values: list) -> None:
    assert fingerprint(values) != fingerprint(values[::-1])


def test_form() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    expected = hashlib.sha256('{"a":"é"}'.encode()).hexdigest()[:FINGERPRINT_CHARS]
    assert fingerprint({"a": "é"}) == expected
    assert FINGERPRINT_CHARS == 12


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [{"a": math.nan}]])
def test_numbers_that_json_cannot_say_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint(value)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes"])
def test_other_objects_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        fingerprint(value)


def test_close_floats_differ() -> None:
    assert fingerprint(0.1 + 0.2) != fingerprint(0.3)
    assert fingerprint([1, [2]]) != fingerprint([[1], 2])


def test_minor_version_reads_metadata_alone() -> None:
    major, minor = minor_version("pyarrow").split(".")
    assert major.isdigit() and minor.isdigit()
