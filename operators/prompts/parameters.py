"""The values that parameters of prompts may take, known by the name of the parameter.

A prompt may have parameters of other names; those are only held to the type of their default.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

from operators.prompts import Fit, GrayWeights, Parameter
from operators.prompts.colors import check_color


def typed(name: str, value: Parameter, default: Parameter) -> Parameter:
    """Return a value, perhaps written as text, in the type of the parameter's default.

    Raises:
        ValueError: if the value has another type or lies outside the parameter's range.
    """
    kind = type(default)
    try:
        if kind is bool:
            found: Parameter = {"true": True, "false": False}[str(value).lower()]
        elif kind is not str and isinstance(value, bool):
            raise ValueError
        else:
            found = kind(value)
        if found != value and not isinstance(value, str):
            raise ValueError  # 2.5 is no number of pixels
    except (KeyError, ValueError) as problem:
        raise ValueError(f"parameter {name!r} takes a {_KINDS[kind]}, got {value!r}") from problem
    if isinstance(found, float) and not math.isfinite(found):
        raise ValueError(f"parameter {name!r} must be finite, got {value!r}")
    if name in _CHECKS:
        _CHECKS[name](name, found)
    return found


def _color(name: str, value: Parameter) -> None:
    try:
        check_color(str(value))
    except ValueError as problem:
        raise ValueError(f"parameter {name!r}: {problem}") from problem


def _between(low: float, high: float = math.inf) -> Callable[[str, Parameter], None]:
    def check(name: str, value: Parameter) -> None:
        if not low <= float(value) <= high:
            limits = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            raise ValueError(f"parameter {name!r} must be {limits}, got {value!r}")

    return check


def _one_of(*known: str) -> Callable[[str, Parameter], None]:
    def check(name: str, value: Parameter) -> None:
        if value not in known:
            raise ValueError(f"parameter {name!r} must be one of {', '.join(known)}, got {value!r}")

    return check


COLOR_PARAMETERS = ("color", "line_color", "mask_color")
_KINDS = {bool: "truth value (true or false)", int: "whole number", float: "number", str: "text"}
_CHECKS: dict[str, Callable[[str, Parameter], None]] = {
    **dict.fromkeys(COLOR_PARAMETERS, _color),
    "alpha": _between(0, 1),
    "thickness_px": _between(1, 1000),  # OpenCV takes 32767; wider than any canvas is a slip
    "sigma_px": _between(0, 10_000),
    "enlarge_px": _between(0),
    "contour_scale": _between(0.01),
    "gray_weights": _one_of(*get_args(GrayWeights)),
    "canvas_px": _between(1, 10_000),
    "crop_pct": _between(0.01, 1),
    "fit": _one_of(*get_args(Fit)),
}
