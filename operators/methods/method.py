"""Methods: how a distribution over candidate boxes is made, and how that is written."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from operators.foveal import ATTENTION, Attention
from operators.methods.notation import NotationError, WrittenLayer, WrittenMethod, parse
from operators.methods.variants import CANVAS_SETTINGS, MaskSource, Variant, layered, variant
from operators.prompts import find_prompt
from operators.relations.options import Relations
from operators.rows.fingerprint import Value, without_defaults
from operators.rows.registry import nearest

PHOTO = "a photo of {}"
Proposals = Literal["gold", "detections", "sam-grid"]


def prompted(template: str, raw: str) -> str:
    """Put a lower-cased expression into a template (rec_scoring spec section 6)."""
    return template.replace("{}", raw.lower())


class Subtraction(Value):
    """Score subtraction S: the mean score of captions drawn from the split's bank is taken away.

    The draw is without replacement and depends on seed, dataset, split and expression alone (rec_scoring
    spec section 8; the published runs are unseeded).

    Attributes:
        captions: how many are drawn; the whole bank if it has fewer.
        seed: of the draw.
        exclude_same_image: captions of the image itself are never drawn (FALIP's filter, falip spec section
            6); FGVP draws them too.
    """

    captions: int = 500
    seed: int = 0
    exclude_same_image: bool = False

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(serialize(self), {"exclude_same_image": False})


class Method(Value):
    """How a distribution over candidate boxes is made from an image and an expression.

    Attributes:
        name: what tables call it.
        variants: drawings whose scores are reduced; none means that every candidate scores the same.
        template: text given to CLIP, `{}` standing for the lower-cased expression. Captions drawn by S are
            put into it too; the published programs write those with "a photo of" whatever the template, so
            with another one S is not theirs.
        reduce: how variants are combined.
        subtraction: settings of S, if it is used.
        relations: settings of R, if it is used.
        score_dtype: arithmetic of the scores; `float16_compat` rounds where the published programs compute in
            half precision on a GPU (rec_scoring spec section 14).
        ties: which of several most probable candidates is taken; `random` draws one, the same for the same
            dataset, split and expression.
    """

    name: Annotated[str, Field(min_length=1)]
    variants: tuple[Variant, ...] = ()
    template: Annotated[str, Field(pattern=r"\{\}")] = PHOTO
    reduce: Literal["sum", "max"] = "sum"
    subtraction: Subtraction | None = None
    relations: Relations | None = None
    score_dtype: Literal["float32", "float16_compat"] = "float32"
    ties: Literal["first", "random"] = "first"

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        later = {"relations": None, "score_dtype": "float32", "ties": "first"}
        return without_defaults(serialize(self), later)

    @property
    def codes(self) -> str:
        """Return the paper notation of the drawings (`P|D4`)."""
        return "|".join(v.code for v in self.variants) or "–"

    @property
    def notation(self) -> str:
        """Return drawings and post-processing as in papers (`D1|D3|D4,S`); the name if nothing is drawn."""
        if not self.variants:
            return self.name
        post = ("R" if self.relations else "") + ("S" if self.subtraction else "")
        return self.codes + (f",{post}" if post else "")

    def but(self, **settings: Any) -> Method:
        """Return a method that differs in some settings, which are checked as in a new one.

        Raises:
            ValueError: for an unknown setting or an impossible value.
        """
        return Method.model_validate({**dict(self), **settings})

    def with_masks(self, mask_source: MaskSource) -> Method:
        """Return the method with other masks for the drawings that use them.

        Raises:
            ValueError: if it has such drawings and the source is `none`.
        """
        if mask_source == "none" and any(v.mask_source != "none" for v in self.variants):
            raise ValueError(f"method {self.name!r} draws with masks; choose box or exact masks")
        given = {
            "mask_source": mask_source,
            "canvas_source": "sam_frame" if mask_source == "box" else "native",
        }
        drawn = [v if v.mask_source == "none" else v.model_copy(update=given) for v in self.variants]
        return self.model_copy(update={"variants": tuple(drawn)})

    def with_seed(self, seed: int) -> Method:
        """Return the method with another seed of S; itself if it draws nothing."""
        if self.subtraction is None:
            return self
        return self.model_copy(update={"subtraction": self.subtraction.model_copy(update={"seed": seed})})


# What may follow the drawings, and the fields of the method that it sets.
POST_PROCESSING: dict[str, dict[str, Any]] = {
    "S": {"subtraction": Subtraction()},
    "R": {"relations": Relations()},
    "RS": {"relations": Relations(), "subtraction": Subtraction()},
}


def baseline(notation: str, mask_source: MaskSource = "box") -> Method:
    """Make a method from its notation (`P`, `P|D4`, `D1|D3|D4,S`, `D4(sigma_px=50)+D1|P`).

    Raises:
        ValueError: for what the grammar of `operators.methods.notation` does not allow, an unknown drawing,
            parameter or post-processing, or an impossible value; it names the column and the nearest names.
    """
    written = parse(notation)
    variants = tuple(_drawing(written, layers, mask_source) for layers in written.drawings)
    post = written.post
    if post is not None and post.text not in POST_PROCESSING:
        known = ", ".join(POST_PROCESSING)
        raise written.error(post, f"unknown post-processing {post.text!r}; known: {known}")
    settings = POST_PROCESSING[post.text] if post else {}
    return Method(name=notation.replace(" ", ""), variants=variants, **settings)


def _drawing(written: WrittenMethod, layers: tuple[WrittenLayer, ...], mask_source: MaskSource) -> Variant:
    """Settings of the canvas may stand at any layer and hold for all; attention follows what is drawn."""
    attention, whole = None, layers
    if layers[-1].name.text in ATTENTION:
        attention = _attention(written, layers[-1])
        layers = layers[:-1]
    canvas: dict[str, Any] = {}
    for layer in layers:
        if layer.name.text in ATTENTION:
            raise written.error(layer.name, f"{layer.name.text} is drawn on nothing; write it last, once")
        for name, value in layer.arguments:
            if name.text in CANVAS_SETTINGS and canvas.setdefault(name.text, value.text) != value.text:
                raise written.error(name, f"{name.text} was {canvas[name.text]} for another layer")
    try:
        variants = [_layer(written, layer, mask_source, canvas) for layer in layers]
        drawn = layered(variants) if variants else variant("raw")
        return drawn.attended(attention)
    except NotationError:
        raise
    except ValueError as problem:
        raise written.error((layers or whole)[0].name, str(problem)) from problem


def _attention(written: WrittenMethod, layer: WrittenLayer) -> Attention:
    word = layer.name
    setting, given = ATTENTION[word.text], {}
    for word, value in layer.arguments:
        if word.text not in setting.model_fields or word.text == "kind":
            known = nearest(word.text, [f for f in setting.model_fields if f != "kind"])
            raise written.error(word, f"{layer.name.text} has no parameter {word.text!r}; nearest: {known}")
        if word.text in given:
            raise written.error(word, f"parameter {word.text!r} is given twice")
        given[word.text] = value.text
    try:
        return setting.model_validate(given)
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        raise written.error(word, f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}") from problem


def _layer(
    written: WrittenMethod, layer: WrittenLayer, mask_source: MaskSource, canvas: dict[str, Any]
) -> Variant:
    given: dict[str, Any] = {}
    word = layer.name
    try:
        prompt = find_prompt(word.text)
        for word, value in layer.arguments:
            if word.text in given:
                raise ValueError(f"parameter {word.text!r} is given twice")
            if word.text in CANVAS_SETTINGS and prompt.space == "native":
                raise ValueError(f"visual prompt {prompt.name!r} draws in native space and has no canvas")
            given[word.text] = value.text
            # With one argument more each time, so that a complaint is about the column of `word`.
            variant(prompt.name, mask_source=mask_source, **given)
        return variant(prompt.name, mask_source=mask_source, **{**canvas, **given})
    except ValueError as problem:
        near = get_close_matches(word.text, ATTENTION, n=1) if word is layer.name else []
        raise written.error(word, f"{problem}" + "".join(f"; or {name}" for name in near)) from problem
