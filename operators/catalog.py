"""Methods and models as frozen values with paper codes and published settings.

Variants are defined in `operators.variants` and may be imported from here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal

from operators.notation import NotationError, WrittenLayer, WrittenMethod, parse
from operators.prompts import find_prompt
from operators.variants import CANVAS_SETTINGS, MaskSource, Value, Variant, layered, variant

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
    """

    captions: int = 500
    seed: int = 0


class Method(Value):
    """How a distribution over candidate boxes is made from an image and an expression.

    Attributes:
        name: what tables call it.
        variants: drawings whose scores are reduced; none means that every candidate scores the same.
        template: text given to CLIP, `{}` standing for the lower-cased expression.
        reduce: how variants are combined.
        subtraction: settings of S, if it is used.
    """

    name: str
    variants: tuple[Variant, ...] = ()
    template: str = PHOTO
    reduce: Literal["sum", "max"] = "sum"
    subtraction: Subtraction | None = None

    @property
    def codes(self) -> str:
        """Return the paper notation of the drawings (`P|D4`)."""
        return "|".join(v.code for v in self.variants) or "–"

    @property
    def notation(self) -> str:
        """Return drawings and post-processing as papers write them (`D1|D3|D4,S`)."""
        return self.codes + (",S" if self.subtraction else "")

    def with_seed(self, seed: int) -> Method:
        """Return the method with another seed of S; itself if it draws nothing."""
        if self.subtraction is None:
            return self
        return self.model_copy(update={"subtraction": self.subtraction.model_copy(update={"seed": seed})})


# What may follow the drawings, and the fields of the method that it sets.
POST_PROCESSING: dict[str, dict[str, Any]] = {"S": {"subtraction": Subtraction()}}


def baseline(notation: str, mask_source: MaskSource = "box") -> Method:
    """Make a method from its notation (`P`, `P|D4`, `D1|D3|D4,S`, `D4(sigma_px=50)+D1|P`).

    Raises:
        ValueError: for what the grammar of `operators.notation` does not allow, an unknown drawing, parameter
            or post-processing, or an impossible value; it names the column and the nearest names.
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
    """Settings of the canvas may stand at any layer and hold for all of them."""
    canvas: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.arguments:
            if name.text in CANVAS_SETTINGS and canvas.setdefault(name.text, value.text) != value.text:
                raise written.error(name, f"{name.text} was {canvas[name.text]} for another layer")
    try:
        variants = [_layer(written, layer, mask_source, canvas) for layer in layers]
        return layered(variants)
    except NotationError:
        raise
    except ValueError as problem:
        raise written.error(layers[0].name, str(problem)) from problem


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
        raise written.error(word, str(problem)) from problem


# Identical scores: the first candidate wins. FALIP Table 6, "No mask".
FIRST_BOX = Method(name="first-box")
NAMED = {FIRST_BOX.name: FIRST_BOX}


def find_method(text: str, mask_source: MaskSource = "box") -> Method:
    """Return a catalogued method by name, or make one from paper notation.

    Raises:
        ValueError: naming the nearest methods and drawings.
    """
    if text in NAMED:
        return NAMED[text]
    try:
        return baseline(text, mask_source)
    except ValueError as problem:
        near = get_close_matches(text, NAMED, n=3, cutoff=0.5)
        raise ValueError(f"{problem}" + (f"; or the method {', '.join(near)}" if near else "")) from problem


class Weights(Value):
    """A checkpoint, known by its content.

    Attributes:
        source: where to load it from: a path or URL.
        sha256: of the file.
        label: `real` (a published file), `tiny`, `random`, or `unverified` (a file that nothing vouches for).
        tag: open_clip's name of a published training (`openai`), empty for files.
    """

    source: str
    sha256: str
    label: Literal["real", "tiny", "random", "unverified"]
    tag: str = ""


def known_words(architecture: str) -> tuple[str, ...]:
    """Return the words of a `model_cfg` (JSON) whose vocabulary was cut down to them; none for all others."""
    config = json.loads(architecture) if architecture.startswith("{") else {}
    return tuple(config.get("text_cfg", {}).get("tokenizer_kwargs", {}).get("words", ()))


class Encoder(Value):
    """A CLIP model of open_clip with its weights.

    Attributes:
        name: as the user wrote the architecture (`ViT-B-32`).
        architecture: open_clip's model name; or its `model_cfg` as JSON for a model folder.
        quick_gelu: whether the weights were trained with QuickGELU.
        mean, std: of the input, RGB in 0..1, as the weights were trained.
        dtype: of weights and activations.
    """

    name: str
    architecture: str
    weights: Weights
    quick_gelu: bool
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words that a model with a cut vocabulary knows; none for all others."""
        return known_words(self.architecture)


class Segmenter(Value):
    """A SAM model with its weights.

    Attributes:
        architecture: vit_b, vit_l, vit_h, or a smaller one as JSON (`operators.sam_architectures`).
        frame_px: long side of the frame that masks live in.
        min_area_px: holes and islands below this area are removed, pixels of the frame; 0 for none.
    """

    name: str
    architecture: str
    weights: Weights
    frame_px: int = 1024
    min_area_px: int = 400
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


def encoders_label(encoders: Sequence[Encoder]) -> str:
    """Return the names of an ensemble as papers print them (`ViT-B-32,RN50x16`)."""
    return ",".join(encoder.name for encoder in encoders) or "–"


def weights_label(models: Sequence[Encoder | Segmenter]) -> str:
    """Return what kind of weights some models have; several kinds are joined."""
    return "+".join(dict.fromkeys(model.weights.label for model in models)) or "none"
