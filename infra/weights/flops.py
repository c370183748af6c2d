"""What a model computes for a picture, a box, a token; counted once for an architecture."""

from __future__ import annotations

from collections.abc import Mapping

from infra.weights.fetch import remembered
from operators.methods.models import Encoder, Segmenter
from operators.rows.fingerprint import fingerprint, minor_version

LIBRARIES = ("torch", "open_clip_torch", "segment-anything")


def model_flops(model: Encoder | Segmenter) -> Mapping[str, float] | None:
    """Return floating-point operations by unit: `view` and `token`, or `picture` and `box`.

    None for a kind of model that does not tell.
    """
    asked = model.model_dump(mode="json", include={"kind", "architecture", "quick_gelu"})
    versions = {name: minor_version(name) for name in LIBRARIES}
    return remembered(f"flops|{fingerprint({**asked, 'versions': versions})}", lambda: _count(model))


def _count(model: Encoder | Segmenter) -> Mapping[str, float] | None:
    if isinstance(model, Encoder):
        from operators.encode import encoder

        return encoder.kind_of(model).flops(model)
    from operators.segment import segmenter

    return segmenter.kind_of(model).flops(model)
