"""Where the class token looks before and after the foveal mask, as pictures for preview and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from operators.encode.encoder import ImageTextModel
from operators.encode.model_input import ModelInput, model_input
from operators.encode.views import ImageViews
from operators.foveal import FovealAttention, layer_indices
from operators.foveal.pictures import class_attention
from operators.foveal.tokens import mask_matrices
from operators.foveal.tower import Pictures
from operators.methods.variants import Variant
from operators.pictures.annotate import region_color
from operators.pictures.attention_overlay import Pixels, attention_overlay
from operators.pictures.gallery import Cell, contact_sheet
from operators.pixels.geometry import xywh_to_xyxy

Maps = NDArray[np.float32]
SHEET_COLUMNS = 6  # two regions a line


def has_mask(drawing: Variant) -> bool:
    """Say whether a drawing has attention before and after a mask to show."""
    return isinstance(drawing.attention, FovealAttention)


@dataclass(frozen=True)
class AttentionPictures:
    """Overlays of one drawing for R regions, averaged over the masked blocks.

    Attributes:
        blocks: numbers of the masked blocks, from 1.
        before: one overlay a region, under the encoder as it is.
        after: the same with the mask. A region has one scale in both.
        gained: where there is more attention after, on a scale of its own: the mask's part is small.
    """

    blocks: list[int]
    before: list[Pixels]
    after: list[Pixels]
    gained: list[Pixels]

    def columns(self) -> dict[str, list[Pixels]]:
        """Return the overlays by what they show."""
        return {"before": self.before, "after": self.after, "gained": self.gained}


def attention_pictures(
    model: ImageTextModel, image: ImageViews, drawing: Variant, regions: int
) -> AttentionPictures:
    """Lay the class token's attention over what is drawn for each region.

    Args:
        model: the encoder.
        image: drawings of the regions, at least one.
        drawing: with a foveal mask.
        regions: how many regions are shown at most, the first ones.

    Raises:
        ImageError: if masks that the drawing needs are missing.
        ValueError: if the drawing has no foveal mask, or the encoder cannot have it.
    """
    attention = drawing.attention
    if not isinstance(attention, FovealAttention):
        raise ValueError(f"{drawing.code}: no foveal mask, so there is no attention before and after it")
    layers = sorted(layer_indices(attention.layers, len(model.tower.blocks)))
    given = next(model_input(image, drawing, model).parts(regions))
    before, after = (maps[layers].mean(axis=0) for maps in _class_attention(model, attention, layers, given))
    gained = np.maximum(after - before, 0)
    overlays: tuple[list[Pixels], list[Pixels], list[Pixels]] = ([], [], [])
    for region, picture in enumerate(image.pictures(drawing)[:regions]):
        scale_xy = np.array(picture.shape[1::-1]) / image.size_wh
        box_xyxy = xywh_to_xyxy(image.boxes_xywh[region : region + 1])[0] * np.tile(scale_xy, 2)
        highest = max(before[region].max(), after[region].max())
        scales = highest, highest, gained[region].max()
        for maps, scale, of_regions in zip((before, after, gained), scales, overlays, strict=True):
            of_regions.append(attention_overlay(picture, maps[region], scale, box_xyxy))
    return AttentionPictures([layer + 1 for layer in layers], *overlays)


def attention_sheet(found: Mapping[str, AttentionPictures]) -> Pixels:
    """Lay out the overlays of several drawings, by their codes: each region before and after, and the gain.

    Returns:
        uint8 RGB on white.
    """
    sheets = []
    for code, pictures in found.items():
        cells = [
            Cell(overlays[region], str(region), what, region_color(region))
            for region in range(len(pictures.before))
            for what, overlays in pictures.columns().items()
        ]
        blocks = ", ".join(map(str, pictures.blocks))
        title = f"{code}: attention of the class token, mean of blocks {blocks}"
        sheets.append(contact_sheet(cells, title=title, columns=SHEET_COLUMNS))
    return np.concatenate(sheets)


@torch.inference_mode()
def _class_attention(
    model: ImageTextModel, attention: FovealAttention, layers: Sequence[int], given: ModelInput
) -> tuple[Maps, Maps]:
    """Return maps (blocks, R, rows, columns) of the plain encoder and with the mask."""
    views = given.views.to(model.device, model.dtype)
    own = torch.arange(len(views), device=model.device)
    of_regions = own if len(views) == given.regions else own.expand(given.regions)
    masks = mask_matrices(torch.from_numpy(given.rows).to(model.device), attention.form)
    plain = class_attention(model.tower, Pictures(views, own))[:, of_regions]
    masked = class_attention(model.tower, Pictures(views, of_regions), masks, frozenset(layers))
    return plain.cpu().numpy(), masked.cpu().numpy()
