"""CLIP image tower: every variant of every region becomes a feature vector, rendered where it is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from operators.catalog import Encoder, Variant
from operators.clip_model import ClipModel, OpenWeights
from operators.geometry import INVALID
from operators.images import ImageError, decode_rgb
from operators.products import Features, Load, Report, no_report
from operators.prompts.render import native_to_input
from operators.records import LOGIT_SCALE, OK, error, features_schema

STAGE = "encode"


class _Collected:
    """Views of one product on their way through the encoder, and the features of each image."""

    def __init__(self, model: ClipModel, images: int, views_per_batch: int) -> None:
        self.model = model
        self.features: list[Any] = [None] * images
        self.errors: list[Any] = [None] * images
        self._waiting: list[tuple[int, list[int], int, Tensor]] = []
        self._views_per_batch = views_per_batch

    def add(self, image: int, valid: list[int], regions: int, views: Tensor) -> None:
        """Queue the views of the valid regions of one image."""
        self._waiting.append((image, valid, regions, views))
        if sum(len(views) for *_, views in self._waiting) >= self._views_per_batch:
            self.flush()

    def fail(self, image: int, problem: dict[str, str]) -> None:
        """Note that an image has no features, and why."""
        self.features[image], self.errors[image] = [], problem

    def flush(self) -> None:
        """Encode what is waiting as one batch."""
        if not self._waiting:
            return
        batch = torch.cat([views for *_, views in self._waiting])
        rows = iter(self.model.encode_images(batch).numpy() if len(batch) else ())
        for image, valid, regions, _ in self._waiting:
            vectors: list[Any] = [None] * regions
            for region in valid:
                vectors[region] = next(rows)
            self.features[image] = vectors
        self._waiting.clear()


class EncodeWithClip:
    """Operator: image rows to features of several variants under several encoders.

    On CPU a batch is one image, so that features do not depend on how the work was cut; on a GPU batches span
    images of a shard.

    Args:
        open_weights: gives the local path of verified weights.
        device: torch device.
        views_per_batch: batch size on a GPU.
        report: called with (event, count) per image and per view, for progress and counters.
    """

    def __init__(
        self,
        *,
        open_weights: OpenWeights,
        device: str = "cpu",
        views_per_batch: int = 256,
        report: Report = no_report,
    ) -> None:
        self._open_weights = open_weights
        self._device = device
        self._views_per_batch = views_per_batch if device != "cpu" else 1
        self._report = report
        self._models: dict[Encoder, ClipModel] = {}

    def __call__(
        self, rows: pa.Table, wanted: Sequence[Features], load: Load
    ) -> Iterator[tuple[Features, pa.Table]]:
        """Yield the features part of every wanted product for one shard of `IMAGE_ROW`s."""
        collected = {
            p: _Collected(self._model(p.encoder), rows.num_rows, self._views_per_batch) for p in wanted
        }
        for index, row in enumerate(rows.to_pylist()):
            self._encode_image(index, row, collected)
            self._report("images encoded", 1)
        for product, result in collected.items():
            result.flush()
            yield product, _part(rows, result)

    def _encode_image(self, index: int, row: dict[str, Any], collected: dict[Features, _Collected]) -> None:
        try:
            image = _decode(row)
        except ImageError as problem:
            for result in collected.values():
                result.fail(index, error(STAGE, problem.code, str(problem)))
            return
        valid = [i for i, region in enumerate(row["regions"]) if region["status"] != INVALID]
        boxes = np.array([row["regions"][i]["box_xywh"] for i in valid], dtype=np.float64).reshape(-1, 4)
        rendered: dict[tuple[Variant, int], Tensor] = {}
        for product, result in collected.items():
            key = (product.variant, result.model.size_px)
            if key not in rendered:
                rendered[key] = render(product.variant, image, boxes, result.model)
            result.add(index, valid, len(row["regions"]), rendered[key])
            self._report("views encoded", len(valid))

    def _model(self, encoder: Encoder) -> ClipModel:
        if encoder not in self._models:
            self._models[encoder] = ClipModel(encoder, self._open_weights(encoder.weights), self._device)
        return self._models[encoder]


def render(variant: Variant, image: Image.Image, boxes_xywh: np.ndarray, model: ClipModel) -> Tensor:
    """Draw a variant for every box and prepare the result for a model.

    Args:
        variant: what to draw.
        image: RGB.
        boxes_xywh: N x 4, pixels of `image`.
        model: gives input size and normalisation.

    Returns:
        float32 (N, 3, size_px, size_px).
    """
    pictures = variant.definition.draw(image, boxes_xywh, **dict(variant.parameters))
    if not pictures:
        return torch.zeros(0, 3, model.size_px, model.size_px)
    return native_to_input(pictures, size_px=model.size_px, mean=model.mean, std=model.std)


def _decode(row: dict[str, Any]) -> Image.Image:
    if row["status"] != OK:
        raise ImageError(row["error"]["code"], row["error"]["message"])
    return decode_rgb(row["image"])


def _part(rows: pa.Table, result: _Collected) -> pa.Table:
    schema = features_schema(result.model.dimensions)
    columns = {"image_key": rows.column("image_key"), "features": result.features, "error": result.errors}
    table = pa.table([pa.array(_list(columns[f.name]), f.type) for f in schema], schema=schema)
    return table.replace_schema_metadata({LOGIT_SCALE: repr(result.model.logit_scale).encode()})


def _list(values: Any) -> Any:
    return values.to_pylist() if hasattr(values, "to_pylist") else values
