"""Where the class token looks before and after the foveal mask, as pictures for preview and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from operators.annotate import region_color
from operators.attention_overlay import Pixels, attention_overlay
from operators.clip_model import ClipModel
from operators.encode import Shown, show
from operators.foveal import FovealAttention, layer_indices
from operators.foveal.pictures import class_attention
from operators.foveal.tokens import mask_matrices
from operators.foveal.tower import Pictures
from operators.gallery import Cell, contact_sheet
from operators.geometry import Boxes, xywh_to_xyxy
from operators.variants import Variant
from operators.views import ImageViews

Maps = NDArray[np.float32]
AVERAGE = "mean"


def has_mask(drawing: Variant) -> bool:
    """Say whether a drawing has attention before and after a mask to show."""
    return isinstance(drawing.attention, FovealAttention)


@dataclass(frozen=True)
class AttentionPictures:
    """Overlays of one drawing for R regions.

    Attributes:
        columns: `mean` over the masked blocks, then each of them by its number from 1.
        before: overlays by region, then column, under the encoder as it is.
        after: the same with the mask. A column of a region has one scale in both.
    """

    columns: list[str]
    before: list[list[Pixels]]
    after: list[list[Pixels]]


def attention_pictures(
    model: ClipModel,
    image: ImageViews,
    drawing: Variant,
    boxes_xywh: Boxes,
    size_wh: tuple[int, int],
    regions: int,
) -> AttentionPictures:
    """Lay the class token's attention over what is drawn for each region.

    Args:
        model: the encoder.
        image: drawings of the regions.
        drawing: with a foveal mask.
        boxes_xywh: N x 4, at least one, pixels of the image.
        size_wh: width and height of the image in pixels.
        regions: how many regions are shown at most, the first ones.

    Raises:
        ImageError: if masks that the drawing needs are missing.
        ValueError: if the drawing has no foveal mask, or the encoder cannot have it.
    """
    attention = drawing.attention
    if not isinstance(attention, FovealAttention):
        raise ValueError(f"{drawing.code}: no foveal mask, so there is no attention before and after it")
    layers = sorted(layer_indices(attention.layers, len(model.tower.blocks)))
    shown = next(show(image, drawing, model, boxes_xywh, size_wh).parts(regions))
    before, after = (_with_mean(maps[layers]) for maps in _class_attention(model, attention, layers, shown))
    overlays: tuple[list[list[Pixels]], list[list[Pixels]]] = ([], [])
    for region, picture in enumerate(image.pictures(drawing)[:regions]):
        scale_xy = np.array(picture.shape[1::-1]) / size_wh
        box_xyxy = xywh_to_xyxy(boxes_xywh[region : region + 1])[0] * np.tile(scale_xy, 2)
        highest = np.maximum(before[:, region], after[:, region]).max(axis=(1, 2))
        for maps, rows in zip((before, after), overlays, strict=True):
            columns = zip(maps[:, region], highest, strict=True)
            rows.append([attention_overlay(picture, map_hw, high, box_xyxy) for map_hw, high in columns])
    return AttentionPictures([AVERAGE, *(str(layer + 1) for layer in layers)], *overlays)


def attention_sheet(found: Mapping[str, AttentionPictures]) -> Pixels:
    """Lay out the overlays of several drawings, by their codes: two rows a region, before and after.

    Returns:
        uint8 RGB on white.
    """
    sheets = []
    for code, pictures in found.items():
        cells = [
            Cell(overlay, str(region), f"{when}, {_named(column)}", region_color(region))
            for region, rows in enumerate(zip(pictures.before, pictures.after, strict=True))
            for when, row in zip(("before", "after"), rows, strict=True)
            for column, overlay in zip(pictures.columns, row, strict=True)
        ]
        title = f"{code}: attention of the class token to regions 0 to {len(pictures.before) - 1}"
        sheets.append(contact_sheet(cells, title=title, columns=len(pictures.columns)))
    width = max(sheet.shape[1] for sheet in sheets)
    wide = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in sheets]
    return np.concatenate(wide)


def _named(column: str) -> str:
    return f"{column} of masked blocks" if column == AVERAGE else f"block {column}"


@torch.inference_mode()
def _class_attention(
    model: ClipModel, attention: FovealAttention, layers: Sequence[int], shown: Shown
) -> tuple[Maps, Maps]:
    """Return maps (blocks, R, rows, columns) of the plain encoder and with the mask."""
    views = shown.views.to(model.device, model.dtype)
    own = torch.arange(len(views), device=model.device)
    of_regions = own if len(views) == shown.regions else own.expand(shown.regions)
    masks = mask_matrices(torch.from_numpy(shown.rows).to(model.device), attention.form)
    plain = class_attention(model.tower, Pictures(views, own))[:, of_regions]
    masked = class_attention(model.tower, Pictures(views, of_regions), masks, frozenset(layers))
    return plain.cpu().numpy(), masked.cpu().numpy()


def _with_mean(maps: Maps) -> Maps:
    return np.concatenate([maps.mean(axis=0, keepdims=True), maps])
