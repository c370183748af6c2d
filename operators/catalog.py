"""Methods, variants and models as frozen values with paper codes and published settings."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from operators.prompts import Parameter, VisualPrompt, find_prompt

PHOTO = "a photo of {}"
Proposals = Literal["gold", "detections", "sam-grid"]
CanvasSource = Literal["native", "sam_frame"]
MaskSource = Literal["none", "box", "exact"]


def prompted(template: str, raw: str) -> str:
    """Put a lower-cased expression into a template (rec_scoring spec section 6)."""
    return template.replace("{}", raw.lower())


class Value(BaseModel):
    """Base of everything that enters a fingerprint: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(Value):
    """One drawing: a prompt with its parameters and the picture it draws on.

    Attributes:
        prompt: registered name.
        parameters: every parameter of the prompt, defaults included, in the prompt's order.
        canvas_source: `native` for the stored image, `sam_frame` for the image as resized for SAM (the
            published D rows; visual_prompts spec section 3).
        mask_source: `box` for SAM prompted with the region's box, `exact` for the dataset's own masks.
        canvas_px: short side of the canvas; 0 for native-space prompts, which have none.
    """

    prompt: str
    parameters: tuple[tuple[str, Parameter], ...] = ()
    canvas_source: CanvasSource = "native"
    mask_source: MaskSource = "none"
    canvas_px: int = 0

    @property
    def definition(self) -> VisualPrompt:
        """Return the registered prompt."""
        return find_prompt(self.prompt)

    @property
    def code(self) -> str:
        """Return the paper code, or the name where there is none."""
        return self.definition.code or self.prompt


def variant(
    prompt: str, *, mask_source: MaskSource = "box", canvas_px: int = 384, **parameters: Parameter
) -> Variant:
    """Make a variant with the published settings of its prompt.

    Args:
        prompt: registered name or paper code.
        mask_source: where masks come from; ignored by prompts that look at no mask.
        canvas_px: short side of the canvas in pixels; ignored by native-space prompts.
        **parameters: parameters that differ from the prompt's defaults.

    Raises:
        ValueError: for an unknown prompt or parameter, naming the nearest.
    """
    definition = find_prompt(prompt)
    for name in parameters:
        if name not in definition.parameters:
            known = ", ".join(definition.parameters) or "none"
            raise ValueError(f"visual prompt {definition.name!r} has no parameter {name!r}; it has: {known}")
    masks = mask_source if definition.region == "mask" else "none"
    if definition.region == "mask" and masks == "none":
        raise ValueError(f"visual prompt {definition.name!r} draws with masks; choose box or exact masks")
    return Variant(
        prompt=definition.name,
        parameters=tuple({**definition.parameters, **parameters}.items()),
        canvas_source="sam_frame" if masks == "box" else "native",
        mask_source=masks,
        canvas_px=canvas_px if definition.space == "canvas" else 0,
    )


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


def baseline(notation: str, mask_source: MaskSource = "box") -> Method:
    """Make an ensemble of drawings written in paper notation (`P`, `P|D4`, `D1|D3|D4,S`).

    Raises:
        ValueError: for an unknown drawing or post-processing, naming position and nearest names.
    """
    drawings, _, post_processing = notation.replace(" ", "").partition(",")
    if post_processing not in ("", "S"):
        raise ValueError(f"method {notation!r}: unknown post-processing {post_processing!r}; known: S")
    variants = []
    for position, code in enumerate(drawings.split("|"), start=1):
        try:
            variants.append(variant(code, mask_source=mask_source))
        except ValueError as problem:
            raise ValueError(f"method {notation!r}, drawing {position}: {problem}") from problem
    subtraction = Subtraction() if post_processing else None
    return Method(name=notation.replace(" ", ""), variants=tuple(variants), subtraction=subtraction)


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
