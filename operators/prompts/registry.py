"""The registry of drawings: one pure function each, registered by a decorator.

To add one, write a function in a module of `drawings/` (or in your own package, advertised under the entry
point group `visual_prompt_bench.prompts`). Its keyword-only parameters are the parameters of the prompt: they
appear in the fingerprint of every feature and in table headers, and the generic tests in
`tests/unit/operators/prompts/test_prompts.py` pick the prompt up from the registry.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from operators.rows.registry import Registry, nearest

Space = Literal["native", "canvas"]
Region = Literal["none", "box", "mask"]
Parameter = str | int | float | bool
Fit = Literal["resize", "padding", "center_crop", "bias_crop"]
GrayWeights = Literal["swapped", "rec601"]


@dataclass(frozen=True)
class VisualPrompt:
    """A registered prompt.

    Attributes:
        name: identifier used in configurations and artifact names.
        code: the paper's code (P, C1, D4 ...), empty if the prompt has none.
        space: `native` prompts get an `operators.prompts.photo.Photo`, the image as it is stored; `canvas`
            prompts an `operators.prompts.canvas.Canvas`, the image resized as FGVP does.
        region: what the prompt looks at besides the image.
        version: raise it when the pixels change.
        draw: the function itself. It returns one picture a region in the size of what it got, uint8
            (N, h, w, 3); if `crops` is set, a list of N pictures (h, w, 3) of any size.
        parameters: its keyword-only parameters with their defaults.
        crops: whether pictures differ in size, so that nothing can be drawn on them afterwards.
    """

    name: str
    code: str
    space: Space
    region: Region
    version: int
    draw: Callable[..., Any]
    parameters: dict[str, Parameter]
    crops: bool = False


PROMPTS: Registry[VisualPrompt] = Registry(
    "visual prompt", home="operators.prompts.drawings", group="visual_prompt_bench.prompts"
)
_by_code: dict[str, VisualPrompt] = {}


def visual_prompt(
    name: str, *, code: str = "", space: Space, region: Region, version: int = 1, crops: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as a visual prompt.

    Raises:
        ValueError: if the name or the code is taken, or a parameter is not keyword-only with a default.
    """

    def register(draw: Callable[..., Any]) -> Callable[..., Any]:
        parameters: dict[str, Parameter] = {}
        for parameter in inspect.signature(draw).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                if parameter.default is parameter.empty:
                    raise ValueError(f"visual prompt {name!r}: parameter {parameter.name!r} needs a default")
                parameters[parameter.name] = parameter.default
        if code in _by_code:
            raise ValueError(f"visual prompt {name!r}: its code {code} is that of {_by_code[code].name!r}")
        prompt = VisualPrompt(name, code, space, region, version, draw, parameters, crops)
        PROMPTS.add(name, prompt)
        if code:
            _by_code[code] = prompt
        return draw

    return register


def registered_prompts() -> dict[str, VisualPrompt]:
    """Return every known prompt by name, in order of registration."""
    return PROMPTS.all()


def find_prompt(name_or_code: str) -> VisualPrompt:
    """Look a prompt up by name or paper code.

    Raises:
        ValueError: if nothing has that name; the message lists the nearest ones.
    """
    prompts = registered_prompts()
    found = prompts.get(name_or_code) or _by_code.get(name_or_code)
    if found is None:
        near = nearest(name_or_code, sorted([*prompts, *_by_code]))
        raise ValueError(f"unknown visual prompt {name_or_code!r}; nearest: {near}" + PROMPTS.plug_ins.told())
    return found
