"""Segmenters as the user names them, resolved to a SHA-256 without building a model."""

from __future__ import annotations

import json

from infra.errors import InputError
from infra.files import storage
from infra.weights.bundled_models import bundled_folder
from infra.weights.published_checkpoints import segmenter_weights
from infra.weights.sources import (
    last_part,
    require_known,
    require_maker_agrees,
    two_parts,
    weights_of_file,
)
from operators.methods.models import Segmenter

SAM_FOLDER_CONFIG = "sam_config.json"
SAM_FOLDER_WEIGHTS = "sam_model.safetensors"
SEGMENTERS = ("vit_b", "vit_l", "vit_h")
PUBLISHED = "published"
MIN_AREA_PX = 400


def resolve_segmenter(text: str, dtype: str = "float32") -> Segmenter:
    """Resolve `ARCHITECTURE:published`, `ARCHITECTURE:FILE_OR_URL`, a small SAM's folder or a bundled name.

    Segmenters of other kinds are written `KIND:ARCHITECTURE:FILE_OR_URL` (`operators.segment.segmenters`).

    Published weights are not downloaded yet. A folder holds `sam_model.safetensors` and `sam_config.json`:
    the sizes of `operators.segment.sam_architectures.SamShape`, and optionally `min_area_px`.

    Raises:
        InputError: naming what is unknown, the nearest names, or the contradiction.
    """
    architecture, colon, source = text.partition(":")
    if not colon or source.startswith("//"):
        return _segmenter_of_folder(bundled_folder(text) or text, dtype)
    if architecture not in SEGMENTERS and (other := _segmenter_of_kind(architecture, source, dtype)):
        return other
    require_known(f"segmenter {text!r}: SAM has no architecture", architecture, SEGMENTERS)
    if source == PUBLISHED:
        source = segmenter_weights(architecture).url
    weights, maker = weights_of_file(source)
    require_maker_agrees(f"segmenter {text!r}", maker, architecture)
    return Segmenter(name=f"sam_{architecture}", architecture=architecture, weights=weights, dtype=dtype)


def _segmenter_of_kind(kind: str, rest: str, dtype: str) -> Segmenter | None:
    """Resolve what follows the name of a kind; None if there is no such kind."""
    from operators.segment.segmenter import KINDS  # torch

    if kind not in KINDS.all():
        return None
    architecture, source = two_parts(f"segmenter {kind}:{rest}", rest)
    weights, _ = weights_of_file(source)
    settings = KINDS.find(kind).settings_of(architecture)
    name = f"{kind}:{architecture}"
    return Segmenter(
        name=name, architecture=architecture, weights=weights, dtype=dtype, kind=kind, **settings
    )


def _segmenter_of_folder(folder: str, dtype: str) -> Segmenter:
    config_url = storage.join(folder, SAM_FOLDER_CONFIG)
    if not storage.exists(config_url):
        raise InputError(
            f"segmenter {folder!r}: write ARCHITECTURE:{PUBLISHED} or ARCHITECTURE:FILE_OR_URL with "
            f"{', '.join(SEGMENTERS)}, or a folder with {SAM_FOLDER_CONFIG}"
        )
    try:
        config = dict(json.loads(storage.read_bytes(config_url)))
        frame_px = int(config["image_size"])
        min_area_px = int(config.pop("min_area_px", MIN_AREA_PX))
    except (ValueError, KeyError, TypeError) as problem:
        raise InputError(f"{config_url}: no readable sizes of a SAM ({problem!r})") from problem
    weights, _ = weights_of_file(storage.join(folder, SAM_FOLDER_WEIGHTS))
    return Segmenter(
        name=last_part(folder),
        architecture=json.dumps(config, sort_keys=True),
        weights=weights,
        frame_px=frame_px,
        min_area_px=min_area_px,
        dtype=dtype,
    )
