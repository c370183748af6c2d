"""What goes into an encoder for one image: views, and where attention is to go; and how it is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.encode.encoder import ImageTextModel
from operators.encode.views import ImageViews
from operators.foveal import Attention, needs_raw_image
from operators.foveal.features import attention_rows
from operators.foveal.tower import Pictures
from operators.methods.variants import Variant, variant

RAW = variant("raw")


@dataclass(frozen=True)
class ModelInput:
    """What goes into the encoder for one image.

    Attributes:
        regions: R, how many regions get features.
        views: drawings of the regions, or one that all of them share.
        raw: the raw image as one view, where the attention setting needs it.
        rows: what the attention setting does to the tokens of every region, float32 (R, L).
    """

    regions: int
    views: Tensor
    raw: Tensor | None = None
    rows: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.views) + (0 if self.raw is None else len(self.raw))

    def parts(self, regions: int) -> Iterator[ModelInput]:
        """Cut it into parts of so many regions, to bound the memory that one call of the encoder needs."""
        for start in range(0, self.regions, regions):
            part = slice(start, start + regions)
            yield ModelInput(
                len(range(self.regions)[part]),
                self.views[part] if len(self.views) == self.regions else self.views,
                self.raw,
                None if self.rows is None else self.rows[part],
            )


def model_input(image: ImageViews, drawing: Variant, model: ImageTextModel) -> ModelInput:
    """Draw what goes into the encoder for an image; a picture that regions share is drawn and encoded once.

    Args:
        image: the drawings of the regions.
        drawing: what is drawn, and what is done to attention.
        model: the encoder.

    Raises:
        ImageError: if masks that the drawing needs are missing.
        ValueError: if the encoder cannot have the attention setting.
    """

    def views(variant: Variant) -> Tensor:
        return image.distinct_views(variant, model.size_px, model.mean, model.std, model.interpolation)

    attention, drawn = drawing.attention, views(drawing)
    if attention is None:
        return ModelInput(len(image.boxes_xywh), drawn)
    rows = attention_rows(attention, image.boxes_xywh, image.size_wh, model.tower.grid)
    return ModelInput(len(image.boxes_xywh), drawn, views(RAW) if needs_raw_image(attention) else None, rows)


def encode_inputs(model: ImageTextModel, attention: Attention | None, inputs: Sequence[ModelInput]) -> Tensor:
    """Encode the inputs of images with at least one region in all.

    Returns:
        float32 (R, D) on the CPU, unnormalised, the regions of all images in order.
    """
    regions = [s.regions for s in inputs]
    drawn = _joined([s.views for s in inputs], regions)
    if attention is None:
        return model.encode_images(drawn.views)[drawn.picture_R]
    raw = [s.raw for s in inputs if s.raw is not None]
    rows_RL = torch.from_numpy(np.concatenate([s.rows for s in inputs if s.rows is not None]))
    return model.encode_regions(attention, drawn, _joined(raw, regions) if raw else None, rows_RL)


def _joined(views: Sequence[Tensor], regions: Sequence[int]) -> Pictures:
    """Join the views of several images; where there are fewer than regions, the one view is of all."""
    pictures, start = [], 0
    for some, count in zip(views, regions, strict=True):
        own = torch.arange(count) if len(some) == count else torch.zeros(count, dtype=torch.long)
        pictures.append(start + own)
        start += len(some)
    return Pictures(torch.cat(list(views)), torch.cat(pictures))
