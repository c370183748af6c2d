"""What is computed: each product knows its fingerprint and what it is made from.

A fingerprint covers everything that changes the numbers (settings, weights, operator version, library
versions) and nothing else: batch size, actor counts and machines are not in it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Literal

import pyarrow as pa

from operators.methods.method import Method, Proposals
from operators.methods.models import Encoder, Segmenter, encoders_label
from operators.methods.variants import Variant
from operators.relations.options import Relations
from operators.rows.fingerprint import Value, fingerprint, minor_version

# Raise a version when the operator's output changes: tests/unit/operators/methods/test_versions.py.
VERSIONS = {"masks": 3, "features": 2, "texts": 2, "predictions": 1}
ATTENTION_VERSION = 1
SLUG_CHARS = 100  # the fingerprint tells products apart, the rest of the name is for people
LIBRARIES = {
    "masks": ("pillow", "opencv-python-headless", "torch", "segment-anything"),
    "features": ("pillow", "opencv-python-headless", "torch", "open_clip_torch"),
    "texts": ("torch", "open_clip_torch"),
    "predictions": (),
}

Kind = Literal["masks", "features", "texts", "predictions"]


class Product(Value):
    """Base of the products. `kind` names the artifact folder and the operator that makes it."""

    kind: ClassVar[Kind]

    @property
    @abstractmethod
    def slug(self) -> str:
        """Return a readable name for the folder."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return everything that changes the numbers, as plain data."""

    @cached_property
    def fingerprint(self) -> str:
        """Return 12 hex digits over the identity, the operator version and the libraries."""
        libraries = {name: minor_version(name) for name in LIBRARIES[self.kind]}
        return fingerprint(
            {"kind": self.kind, "version": VERSIONS[self.kind], "libraries": libraries} | self.identity()
        )

    @cached_property
    def folder(self) -> str:
        """Return `<kind>/<slug>-<fingerprint>`."""
        return f"{self.kind}/{self.slug}-{self.fingerprint}"


# What operators are given: read access to parts made earlier, and a place to report (event, count) to.
Load = Callable[[Product], pa.Table]
Report = Callable[[str, int], None]


def no_report(event: str, count: int) -> None:
    """Drop a progress report."""


def _model_identity(model: Encoder | Segmenter) -> dict[str, Any]:
    identity = model.model_dump(mode="json", exclude={"name", "weights"})
    return identity | {"weights": model.weights.sha256}


class Masks(Product):
    """One SAM mask for every region, in the segmenter's frame."""

    kind: ClassVar[Kind] = "masks"
    segmenter: Segmenter

    @property
    def slug(self) -> str:
        """Return the name of the segmenter."""
        return _safe(self.segmenter.name)

    def identity(self) -> dict[str, Any]:
        """Return the segmenter's settings and the hash of its weights."""
        return {"segmenter": _model_identity(self.segmenter)}


class Features(Product):
    """Image features of one variant under one encoder; `masks` where the variant draws with SAM's masks."""

    kind: ClassVar[Kind] = "features"
    variant: Variant
    encoder: Encoder
    masks: Masks | None = None

    @property
    def slug(self) -> str:
        drawn = "+".join(prompt.name for prompt, _ in self.variant.layers)
        attended = f"+{self.variant.attention.kind}" if self.variant.attention else ""
        return f"{_safe(drawn + attended)}-{_safe(self.encoder.name)}"

    def identity(self) -> dict[str, Any]:
        return {
            "variant": self.variant.model_dump(mode="json"),
            "prompt_version": self.variant.definition.version,
            "encoder": _model_identity(self.encoder),
            "masks": self.masks.fingerprint if self.masks else None,
        } | ({"attention_version": ATTENTION_VERSION} if self.variant.attention else {})


class Texts(Product):
    """Text features of one split under one encoder and template.

    Attributes:
        relations: None for the whole caption bank, in file order; else the phrases that R asks for besides
            the captions, each once.
    """

    kind: ClassVar[Kind] = "texts"
    encoder: Encoder
    template: str
    dataset: str
    split: str
    relations: Relations | None = None

    @property
    def slug(self) -> str:
        return _safe(self.encoder.name)

    def identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {"encoder": _model_identity(self.encoder), "template": self.template}
        if self.relations is None:
            return identity
        return identity | {"relations": self.relations.model_dump(mode="json")}


class Predictions(Product):
    """Scores of every candidate for every expression of the chosen splits.

    Attributes:
        task: which of `operators.tasks` is answered.
        splits: (dataset, split, digest of its caption bank) that are scored.
    """

    kind: ClassVar[Kind] = "predictions"
    task: ClassVar[str] = "choose_region"
    method: Method
    encoders: tuple[Encoder, ...]
    proposals: Proposals
    segmenter: Segmenter | None = None
    splits: tuple[tuple[str, str, str], ...]

    @property
    def slug(self) -> str:
        return _safe(f"{self.method.name}-{self.proposals}-{encoders_label(self.encoders)}")

    @property
    def unseeded(self) -> Predictions:
        """Return the product with seed 0 of S: those that differ in the seed alone share a line of tables."""
        return self.model_copy(update={"method": self.method.with_seed(0)})

    def features(self) -> list[list[Features]]:
        """Return the feature products by encoder, then variant."""
        return self._feature_rows

    @cached_property
    def _feature_rows(self) -> list[list[Features]]:
        return [[self._features(v, e) for v in self.method.variants] for e in self.encoders]

    @property
    def models(self) -> tuple[Encoder | Segmenter, ...]:
        """Return every model that the numbers depend on."""
        return (*self.encoders, self.segmenter) if self.segmenter else self.encoders

    def texts(self) -> list[list[Texts]]:
        """Return the text products by encoder: of every split its bank and, with R, its phrases."""
        return self._text_rows

    @cached_property
    def _text_rows(self) -> list[list[Texts]]:
        return [
            [text for dataset, split, _ in self.splits for text in self.split_texts(encoder, dataset, split)]
            for encoder in self.encoders
        ]

    def split_texts(self, encoder: Encoder, dataset: str, split: str) -> list[Texts]:
        """Return the text products of one split under one encoder: the bank, then the phrases."""
        wordings = [None, self.relations.wording()] if self.relations else [None]
        template = self.method.template
        return [
            Texts(encoder=encoder, template=template, dataset=dataset, split=split, relations=wording)
            for wording in wordings
        ]

    @property
    def relations(self) -> Relations | None:
        """Return the settings of R, if the method has it."""
        return self.method.relations

    @property
    def score_dtype(self) -> str:
        """Return the arithmetic of the scores: `float32` or `float16_compat`."""
        return self.method.score_dtype

    @property
    def exclude_same_image(self) -> bool:
        """Say whether S draws no caption of the image itself (FALIP's filter)."""
        return self.method.subtraction is not None and self.method.subtraction.exclude_same_image

    def _features(self, variant: Variant, encoder: Encoder) -> Features:
        if variant.mask_source != "box":
            return Features(variant=variant, encoder=encoder)
        if self.segmenter is None:
            raise ValueError(f"method {self.method.name!r} draws with SAM's masks but has no segmenter")
        return Features(variant=variant, encoder=encoder, masks=Masks(segmenter=self.segmenter))

    def identity(self) -> dict[str, Any]:
        return {
            "method": self.method.model_dump(mode="json", exclude={"name"}),
            "features": [[f.fingerprint for f in row] for row in self.features()],
            "texts": [texts[0].fingerprint for texts in self.texts()],
            "proposals": self.proposals,
            "splits": [list(split) for split in self.splits],
        }


def _safe(text: str) -> str:
    """Keep what every file system and object store accepts in a name, in a length that they accept."""
    return "".join(c if c.isalnum() or c in ".+-" else "_" for c in text[:SLUG_CHARS]).strip("_")
