"""What CLIP was shown: every drawing of a few regions of an image, drawn again from the stored inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from operators.encode.images import image_views
from operators.encode.views import ImageViews
from operators.methods.products import Features, Masks, Predictions
from operators.methods.variants import Variant
from operators.pictures.gallery import NAMES
from operators.pixels.images import ImageError
from operators.report.page import Picture, Strips, shortened
from operators.report.pictures import data_uri, strip

# Of one region, listed below its strips.
MAX_TEXTS = 4


def drawings(products: Iterable[Predictions]) -> list[tuple[Variant, Masks | None]]:
    """Return the distinct drawings of some methods with the masks that they use, in order."""
    features: list[Features] = [f for p in products for row in p.features()[:1] for f in row]
    return list(dict.fromkeys((feature.variant, feature.masks) for feature in features))


def draw_strips(
    row: dict[str, Any],
    index: int,
    regions: list[int],
    wanted: Iterable[tuple[Variant, Masks | None]],
    masks: Mapping[Masks, pa.Table],
) -> Strips:
    """Draw some regions of an image with every wanted drawing.

    Args:
        row: image row.
        index: of the row in its shard, and so in the mask parts.
        regions: numbers of regions with area.
        wanted: as from `drawings`.
        masks: the shard's parts; drawings whose masks are not there are left out.

    Raises:
        ImageError: if the picture cannot be decoded.
    """
    views: dict[Masks | None, ImageViews] = {}
    rows = []
    for variant, source in wanted:
        if source is not None and source not in masks:
            continue
        if source not in views:
            part = masks.get(source) if source else None
            views[source] = image_views(row, regions, source, part, index)
        try:
            picture = strip(views[source].pictures(variant))
        except ImageError:  # no mask here: nothing was shown
            continue
        rows.append((variant.code, _settings(variant), Picture(data_uri(picture), f"drawing {variant.code}")))
    numbers = [str(position) for position in range(1, len(regions) + 1)]
    return Strips(row["image_key"], rows, numbers, _texts(row, regions))


def _texts(row: dict[str, Any], regions: list[int]) -> list[tuple[str, str]]:
    """Return the numbers of regions with expressions that mean them, each text once."""
    found: dict[tuple[str, str], None] = {}
    for position, region in enumerate(regions, start=1):
        meant = [ref for ref in row["refs"] if region in ref["target_region_ids"]]
        texts = dict.fromkeys(e["text"] for ref in meant for e in ref["expressions"])
        shown = "; ".join(f"“{shortened(text)}”" for text in list(texts)[:MAX_TEXTS])
        if texts:
            found[str(position), shown] = None
    return list(found)


def _settings(variant: Variant) -> str:
    """Return the name of a drawing, and the parameters that are not its defaults."""
    defaults = variant.definition.parameters
    changed = [f"{name} {value}" for name, value in variant.parameters if defaults.get(name) != value]
    name = NAMES.get(variant.code, "" if variant.code == variant.prompt else variant.prompt)
    exact = ["exact masks"] if variant.mask_source == "exact" else []
    return ", ".join(filter(None, [name, *changed, *exact]))
