"""In what a run differs from a published one, so that their numbers may or may not be compared."""

from __future__ import annotations

from operators.datasets.registry import published_size
from operators.methods.catalog import find_method
from operators.methods.method import Method
from operators.methods.models import encoders_label
from operators.methods.products import Predictions
from operators.rows.fingerprint import Value
from operators.tables.published import Settings

PUBLISHED_SEGMENTER, PUBLISHED_MIN_AREA_PX = "vit_h", 400


def differences(product: Predictions, settings: Settings, scored: int) -> list[str]:
    """Say in what a run differs from a published one; empty where their numbers may be compared.

    Drawings and post-processing must have their published parameters, CLIP OpenAI's weights, SAM must be
    ViT-H, and the split must be whole.

    Args:
        product: what was run.
        settings: of the published number.
        scored: expressions of the split that were accounted for.
    """
    said = _method_differences(product.method.with_seed(0), settings.settings)
    ours = {"encoders": encoders_label(product.encoders), "proposals": product.proposals}
    said += [f"{k} {v}, not {getattr(settings, k)}" for k, v in ours.items() if v != getattr(settings, k)]
    weights = [encoder.weights for encoder in product.encoders]
    labels = dict.fromkeys(m.weights.label for m in product.models if m.weights.label != "real")
    tags = dict.fromkeys(w.tag for w in weights if w.label == "real" and w.tag not in ("", "openai"))
    said += [f"weights {word}" for word in (*labels, *tags)]
    if product.segmenter and product.segmenter.architecture != PUBLISHED_SEGMENTER:
        said.append(f"SAM {product.segmenter.name}")
    said += _precision_differences(product)
    size = published_size(settings.dataset, settings.split)
    if size is None or scored != size.expressions:
        said.append(f"split {scored} of {size.expressions if size else 'unknown size'}")
    return said


def _precision_differences(product: Predictions) -> list[str]:
    """Name what else of the models is not as published: float32 or half precision, SAM's small regions."""
    dtypes = dict.fromkeys(encoder.dtype for encoder in product.encoders if encoder.dtype == "bfloat16")
    said = [f"encoders in {dtype}" for dtype in dtypes]
    if product.segmenter and product.segmenter.dtype != "float32":
        said.append(f"SAM in {product.segmenter.dtype}")
    if product.segmenter and product.segmenter.min_area_px != PUBLISHED_MIN_AREA_PX:
        said.append(f"SAM's regions below {product.segmenter.min_area_px} px are removed")
    return said


def _method_differences(method: Method, notation: str) -> list[str]:
    """Name the settings in which a method is not the published one of that notation or name."""
    try:
        published = find_method(notation)
    except ValueError:
        return ["method"]
    changed = [f for f in Method.model_fields if f != "name" and getattr(method, f) != getattr(published, f)]
    # Drawings have too many settings to be told in a cell; the method's own name and run.json tell them.
    return [_told(f, getattr(method, f), getattr(published, f)) for f in changed]


def _told(field: str, ours: object, theirs: object) -> str:
    if field == "variants":
        return "settings of the drawings"
    if isinstance(ours, Value) and isinstance(theirs, Value):
        names = [name for name, value in ours if value != getattr(theirs, name)]
        return ", ".join(f"{name} {getattr(ours, name)}, not {getattr(theirs, name)}" for name in names)
    return f"{field} {ours}"
