"""Attention before and after the mask for the report: a few regions of the images in the strips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from operators.encode.encoder import ImageTextModel
from operators.encode.images import image_views
from operators.methods.products import Features, Masks, Predictions
from operators.pictures.attention_maps import attention_pictures, has_mask
from operators.report.page import Picture, Strips
from operators.report.pictures import data_uri, strip


def masked_features(products: Iterable[Predictions]) -> list[Features]:
    """Return the distinct features of some methods that are made under a foveal mask, in order."""
    every = (feature for p in products for row in p.features() for feature in row)
    return list(dict.fromkeys(feature for feature in every if has_mask(feature.variant)))


def attention_strips(
    model: ImageTextModel,
    feature: Features,
    row: dict[str, Any],
    index: int,
    regions: list[int],
    masks: Mapping[Masks, pa.Table],
) -> Strips:
    """Draw the attention to some regions of an image, averaged over the masked blocks.

    Args:
        model: the encoder of `feature`.
        feature: with a foveal mask.
        row: image row.
        index: of the row in its shard, and so in the mask parts.
        regions: numbers of regions with area, at least one.
        masks: the shard's parts; without those that the drawing needs nothing is drawn.

    Raises:
        ImageError: if the picture or its masks cannot be read.
    """
    drawing, source = feature.variant, feature.masks
    heading = f"{drawing.code} · {feature.encoder.name} · {row['image_key']}"
    if source is not None and source not in masks:
        return Strips(heading, [])
    views = image_views(row, regions, source, masks.get(source) if source else None, index)
    found = attention_pictures(model, views, drawing, len(regions))
    blocks = ", ".join(map(str, found.blocks))
    rows = []
    for what, overlays in found.columns().items():
        picture = Picture(data_uri(strip(overlays)), f"attention {what}")
        rows.append((what, f"mean of blocks {blocks}", picture))
    return Strips(heading, rows, [str(position) for position in range(1, len(regions) + 1)])
