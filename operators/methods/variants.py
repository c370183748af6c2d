"""Variants: what is drawn, with every parameter, as a frozen value that enters fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from operators.foveal import ATTENTION, Attention, FovealAttention, needs_raw_image
from operators.methods.notation import written
from operators.prompts import Fit, Parameter, VisualPrompt, find_prompt
from operators.prompts.colors import TEXT
from operators.prompts.parameters import COLOR_PARAMETERS, typed
from operators.rows.fingerprint import Value, without_defaults
from operators.rows.registry import nearest

CanvasSource = Literal["native", "sam_frame"]
MaskSource = Literal["none", "box", "exact"]
Parameters = tuple[tuple[str, Parameter], ...]

# Settings of the canvas, written like parameters. All layers of a drawing share them.
CANVAS_SETTINGS: dict[str, Parameter] = {"canvas_px": 384, "fit": "resize", "crop_pct": 1.0}


class Layer(Value):
    """A prompt drawn on top of others, with every parameter.

    Attributes:
        version: of the prompt, since what is drawn changes with it.
    """

    prompt: str
    version: int
    parameters: Parameters = ()


class Variant(Value):
    """One drawing: a prompt with its parameters, the picture it draws on, and what is drawn on top of it.

    Attributes:
        prompt: registered name.
        parameters: every parameter of the prompt, defaults included, in the prompt's order.
        canvas_source: `native` for the stored image, `sam_frame` for the image as resized for SAM (the
            published D rows; visual_prompts spec section 3).
        mask_source: `box` for SAM prompted with the region's box, `exact` for the dataset's own masks.
        canvas_px: short side of the canvas (long side for `fit="padding"`); 0 for native-space prompts, which
            have none.
        fit: how the canvas becomes a square (section 8).
        crop_pct: the canvas is made larger by 1 / crop_pct before it is cut.
        then: prompts drawn on the result, in order.
        attention: how the encoder's attention is changed (`operators.foveal`), if it is.
    """

    prompt: str
    parameters: Parameters = ()
    canvas_source: CanvasSource = "native"
    mask_source: MaskSource = "none"
    canvas_px: int = 0
    fit: Fit = "resize"
    crop_pct: float = 1.0
    then: tuple[Layer, ...] = ()
    attention: Attention | None = None

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        later = {"fit": "resize", "crop_pct": 1.0, "then": [], "attention": None}
        return without_defaults(serialize(self), later)

    @property
    def definition(self) -> VisualPrompt:
        """Return the registered prompt (the first, if several are drawn)."""
        return find_prompt(self.prompt)

    @property
    def layers(self) -> list[tuple[VisualPrompt, dict[str, Parameter]]]:
        """Return what is drawn, in order, each with its parameters."""
        drawn = [(self.prompt, self.parameters), *((layer.prompt, layer.parameters) for layer in self.then)]
        return [(find_prompt(name), dict(parameters)) for name, parameters in drawn]

    @property
    def code(self) -> str:
        """Return the drawing as it is written: paper codes, names where there is none, what is no default."""
        settings = {name: getattr(self, name) for name in CANVAS_SETTINGS} if self.canvas_px else {}
        layers = []
        for prompt, parameters in self.layers:
            defaults = {**prompt.parameters, **CANVAS_SETTINGS}
            changed = {k: v for k, v in {**parameters, **settings}.items() if v != defaults[k]}
            arguments = ",".join(f"{name}={written(value)}" for name, value in changed.items())
            layers.append((prompt.code or prompt.name) + (f"({arguments})" if arguments else ""))
            settings = {}
        if self.attention is not None:
            layers.append(attention_code(self.attention))
        return "+".join(layers)

    @property
    def colored_by_text(self) -> bool:
        """Say whether a colour is that of a caption, so that pictures depend on the caption."""
        return self != self.in_color("black")

    def in_color(self, color: str) -> Variant:
        """Return the drawing with a colour in place of `text`, wherever that stands.

        Args:
            color: as parameters take it, such as "r,g,b".
        """

        def colored(parameters: Parameters) -> Parameters:
            return tuple((k, color if k in COLOR_PARAMETERS and v == TEXT else v) for k, v in parameters)

        then = tuple(x.model_copy(update={"parameters": colored(x.parameters)}) for x in self.then)
        return self.model_copy(update={"parameters": colored(self.parameters), "then": then})

    def attended(self, attention: Attention | None) -> Variant:
        """Return the drawing with another attention.

        Raises:
            ValueError: if the drawing cuts the picture, so that boxes have no place on the encoder's grid; or
                if it needs the raw image beside a drawing on a canvas, which is fitted in another way.
        """
        if attention is None:
            return self
        if any(prompt.crops for prompt, _ in self.layers) or self.fit != "resize":
            raise ValueError(f"{self.code}: attention needs the whole image in the encoder's square")
        if needs_raw_image(attention) and self.canvas_px:
            raise ValueError(
                f"{self.code}: this attention needs a drawing in native space, such as falip_circle"
            )
        return self.model_copy(update={"attention": attention})


def variant(
    prompt: str,
    *,
    mask_source: MaskSource = "box",
    canvas_px: int = 384,
    fit: Fit = "resize",
    crop_pct: float = 1.0,
    **parameters: Parameter,
) -> Variant:
    """Make a variant with the published settings of its prompt.

    Args:
        prompt: registered name or paper code.
        mask_source: where masks come from; ignored by prompts that look at no mask.
        canvas_px: short side of the canvas; native-space prompts ignore it, and `fit` and `crop_pct`.
        fit: how the canvas becomes a square.
        crop_pct: the canvas is made larger by 1 / crop_pct before it is cut.
        **parameters: parameters that differ from the prompt's defaults.

    Raises:
        ValueError: for an unknown prompt or parameter, naming the nearest, or an impossible value.
    """
    definition = find_prompt(prompt)
    known = dict(definition.parameters)
    for name, value in parameters.items():
        if name not in definition.parameters:
            near = nearest(name, definition.parameters)
            raise ValueError(f"visual prompt {definition.name!r} has no parameter {name!r}; nearest: {near}")
        known[name] = typed(name, value, definition.parameters[name])
    masks = mask_source if definition.region == "mask" else "none"
    if definition.region == "mask" and masks == "none":
        raise ValueError(f"visual prompt {definition.name!r} draws with masks; choose box or exact masks")
    return Variant(
        prompt=definition.name,
        parameters=tuple(known.items()),
        canvas_source="sam_frame" if masks == "box" else "native",
        mask_source=masks,
        **_canvas_settings(definition, {"canvas_px": canvas_px, "fit": fit, "crop_pct": crop_pct}),
    )


def layered(variants: Sequence[Variant]) -> Variant:
    """Make one drawing of several, each drawn on top of those before it (`D4+D1`).

    If one of them draws on the SAM frame, all do.

    Raises:
        ValueError: if there is none, they draw in different spaces or on different canvases, or one that is
            not the last crops.
    """
    if not variants:
        raise ValueError("nothing is drawn")
    first, *others = variants
    prompts = [prompt for v in variants for prompt, _ in v.layers]
    for prompt in prompts:
        if prompt.space != prompts[0].space:
            names = (
                f"{prompts[0].name!r} draws in {prompts[0].space} space, {prompt.name!r} in {prompt.space}"
            )
            raise ValueError(f"{names} space: they cannot share a picture")
    for prompt in prompts[:-1]:
        if prompt.crops:
            raise ValueError(f"{prompt.name!r} cuts the picture and must come last")
    settings = {tuple(getattr(v, name) for name in CANVAS_SETTINGS) for v in variants}
    if len(settings) > 1:
        raise ValueError("layers of one drawing share the canvas; give its settings once")
    sources = {v.mask_source for v in variants} - {"none"}
    if len(sources) > 1:
        raise ValueError("layers of one drawing share the masks; choose box or exact masks for all")
    layers = [
        Layer(prompt=prompt.name, version=prompt.version, parameters=tuple(parameters.items()))
        for v in others
        for prompt, parameters in v.layers
    ]
    on_frame = any(v.canvas_source == "sam_frame" for v in variants)
    return first.model_copy(
        update={
            "canvas_source": "sam_frame" if on_frame else "native",
            "mask_source": sources.pop() if sources else "none",
            "then": (*first.then, *layers),
        }
    )


def _canvas_settings(prompt: VisualPrompt, settings: Mapping[str, Parameter]) -> dict[str, Any]:
    if prompt.space == "native":
        return {"canvas_px": 0}
    found = {name: typed(name, value, CANVAS_SETTINGS[name]) for name, value in settings.items()}
    if found["fit"] == "padding" and found["crop_pct"] != 1:
        raise ValueError("fit=padding keeps the whole canvas; crop_pct must be 1")
    return found


def attention_code(attention: Attention) -> str:
    """Return a setting as it is written, with what is no default."""
    name = next(name for name, kind in ATTENTION.items() if isinstance(attention, kind))
    changed = {k: v for k, v in attention if v != type(attention).model_fields[k].default}
    nested = {
        k: attention_code(v) if isinstance(v, FovealAttention) else written(v) for k, v in changed.items()
    }
    arguments = ",".join(f"{name}={value}" for name, value in nested.items())
    return name + (f"({arguments})" if arguments else "")
