"""Fingerprints of a few products, held: a refactoring must leave the parts that people have valid.

Versions of libraries and operators are fixed here. What changes numbers raises a version
(`operators/methods/products.py`), which test_versions.py holds; nothing else may touch the values here.
"""

from __future__ import annotations

import pytest

from operators.methods import products
from operators.methods.catalog import find_method
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Masks, Predictions

ENCODER = Encoder(
    name="ViT-B-32",
    architecture="ViT-B-32",
    weights=Weights(source="e", sha256="e" * 64, label="real", tag="openai"),
    quick_gelu=True,
)
SEGMENTER = Segmenter(
    name="sam_vit_h", architecture="vit_h", weights=Weights(source="s", sha256="5" * 64, label="real")
)
# Method -> predictions, features in order, texts in order.
HELD = {
    "first-box": ["75077675221a"],
    "I": ["52cee9fcd420", "d0a23199bf61", "ec422dbf9f7d"],
    "P": ["45edd5db42a5", "3216143110da", "ec422dbf9f7d"],
    "C1(line_color=blue)": ["80e9804cde06", "505c878a2cbb", "ec422dbf9f7d"],
    "D4": ["a39a6dfd1f01", "1b7a1234518d", "ec422dbf9f7d"],
    "D4(sigma_px=50)+D1|P,S": ["f6f3f10a67cc", "1fc255f569d7", "3216143110da", "ec422dbf9f7d"],
    "I+FA(alpha=0.3,layers=9-12)": ["04df2a94b7cd", "2177a9036e09", "ec422dbf9f7d"],
    "falip_circle+FA": ["af0569ca4e03", "707b4d330d6c", "ec422dbf9f7d"],
    "fgvp-p-d4-r": ["2da180be7d1e", "3216143110da", "1b7a1234518d", "ec422dbf9f7d", "ee4475e05271"],
    "falip": ["ccc9922ac558", "73765332d889", "ec422dbf9f7d"],
    "cpt-adapted": ["3f771920dcb2", "3216143110da", "0a60de775554", "66d9e7932d89", "fe97190fe8ab"],
}
MASKS = "23f08e69b85b"


@pytest.fixture(autouse=True)
def _fixed_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "minor_version", lambda name: "1.0")
    monkeypatch.setattr(products, "VERSIONS", dict.fromkeys(products.VERSIONS, 1))


def predictions(name: str) -> Predictions:
    method = find_method(name)
    masked = any(variant.mask_source == "box" for variant in method.variants)
    return Predictions(
        method=method,
        encoders=(ENCODER,) if method.variants else (),
        proposals="gold",
        segmenter=SEGMENTER if masked else None,
        splits=(("refcoco", "val", "0" * 12),),
    )


@pytest.mark.parametrize("name", HELD)
def test_fingerprints_are_what_they_were(name: str) -> None:
    product = predictions(name)
    features = [feature.fingerprint for row in product.features() for feature in row]
    texts = [text.fingerprint for row in product.texts() for text in row]
    assert [product.fingerprint, *features, *texts] == HELD[name]


def test_masks_are_found_where_they_were() -> None:
    assert Masks(segmenter=SEGMENTER).folder == f"masks/sam_vit_h-{MASKS}"


def test_what_a_fingerprint_covers_changes_it() -> None:
    """The fixture must not make the test blind."""
    other = ENCODER.model_copy(update={"quick_gelu": False})
    assert predictions("P").model_copy(update={"encoders": (other,)}).fingerprint != HELD["P"][0]
