"""CLIP image tower: every variant of every region becomes a feature vector, rendered where it is encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from operators.encode.encoder import ImageTextModel, OpenWeights, load_encoder
from operators.encode.model_input import ModelInput, encode_inputs, model_input
from operators.encode.views import ImageViews
from operators.foveal import Attention
from operators.methods.models import Encoder
from operators.methods.products import Features, Load, Masks, Report, no_report
from operators.methods.variants import MaskSource, Variant
from operators.pixels.geometry import Boxes
from operators.pixels.images import ImageError, decode_row
from operators.pixels.masks import BoolMasks, decode_masks
from operators.pixels.sam_frame import SAM_FRAME_PX
from operators.rows.read_ahead import read_ahead
from operators.rows.records import LOGIT_SCALE, error, features_schema, valid_regions

STAGE = "encode"
# Of one image in one call of the encoder, to bound the memory that it needs.
MOST_REGIONS = 256


class _Collected:
    """Views of one product on their way through the encoder, and the features of each image."""

    def __init__(
        self, model: ImageTextModel, attention: Attention | None, images: int, views_per_batch: int
    ) -> None:
        self.model = model
        self.attention = attention
        self.features: list[Any] = [None] * images
        self.errors: list[Any] = [None] * images
        self._waiting: list[tuple[int, list[int], int, ModelInput]] = []
        self._views_per_batch = views_per_batch

    def add(self, image: int, valid: list[int], regions: int, given: ModelInput) -> None:
        """Queue what is given of the valid regions of one image."""
        self._waiting.append((image, valid, regions, given))
        if self._size(s for *_, s in self._waiting) >= self._views_per_batch:
            self.flush()

    def _batches(self) -> Iterator[list[ModelInput]]:
        """Yield what is waiting as one batch, or several if an image has very many regions."""
        batch: list[ModelInput] = []
        for part in (part for *_, given in self._waiting for part in given.parts(MOST_REGIONS)):
            batch.append(part)
            if self._size(batch) >= self._views_per_batch:
                yield batch
                batch = []
        if batch:
            yield batch

    def _size(self, given: Iterable[ModelInput]) -> int:
        """Count views; under attention every region runs the later blocks, whatever pictures they share."""
        return sum(s.regions if self.attention else len(s) for s in given)

    def fail(self, image: int, problem: dict[str, str]) -> None:
        """Note that an image has no features, and why."""
        self.features[image], self.errors[image] = [], problem

    def flush(self) -> None:
        """Encode what is waiting."""
        rows = (
            row
            for batch in self._batches()
            for row in encode_inputs(self.model, self.attention, batch).numpy()
        )
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
        host_threads: that decode pictures beside the model; 0 for none.
        report: called with (event, count) per image and per view, for progress and counters.
    """

    def __init__(
        self,
        *,
        open_weights: OpenWeights,
        device: str = "cpu",
        views_per_batch: int = 256,
        host_threads: int = 0,
        report: Report = no_report,
    ) -> None:
        self._open_weights = open_weights
        self._host_threads = host_threads
        self._device = device
        self._views_per_batch = views_per_batch if device != "cpu" else 1
        self._report = report
        self._models: dict[Encoder, ImageTextModel] = {}

    def __call__(
        self, rows: pa.Table, wanted: Sequence[Features], load: Load
    ) -> Iterator[tuple[Features, pa.Table]]:
        """Yield the features part of every wanted product for one shard of `IMAGE_ROW`s."""
        collected = {
            p: _Collected(self._model(p.encoder), p.variant.attention, rows.num_rows, self._views_per_batch)
            for p in wanted
        }
        masks: dict[Masks | None, pa.Table] = {p.masks: load(p.masks) for p in wanted if p.masks}
        content = rows.to_pylist()
        pictures = read_ahead(_decoded, content, self._host_threads)
        for index, (row, picture) in enumerate(zip(content, pictures, strict=True)):
            self._encode_image(index, row, picture, collected, masks)
            self._report("images encoded", 1)
        for product, result in collected.items():
            result.flush()
            yield product, _part(rows, result)

    def _encode_image(
        self,
        index: int,
        row: dict[str, Any],
        picture: Image.Image | ImageError,
        collected: dict[Features, _Collected],
        masks: Mapping[Masks | None, pa.Table],
    ) -> None:
        images: dict[Any, ImageViews] = {}
        for product, result in collected.items():
            regions = drawable_regions(row, product.variant)
            key = product.masks, tuple(regions)
            try:
                if isinstance(picture, ImageError):
                    raise picture
                if key not in images:
                    part = masks.get(product.masks)
                    images[key] = image_views(
                        row, regions, product.masks, part, index, self._device, picture=picture
                    )
                given = model_input(images[key], product.variant, result.model)
            except ImageError as problem:
                result.fail(index, error(STAGE, problem.code, str(problem)))
                continue
            result.add(index, regions, len(row["regions"]), given)
            self._report("views encoded", len(given))

    def _model(self, encoder: Encoder) -> ImageTextModel:
        if encoder not in self._models:
            self._models[encoder] = load_encoder(encoder, self._open_weights(encoder.weights), self._device)
        return self._models[encoder]


def _decoded(row: dict[str, Any]) -> Image.Image | ImageError:
    """Decode the picture of a row, or return why that cannot be."""
    try:
        picture = decode_row(row)
        picture.load()  # now, and not where the pixels are first asked for
        return picture
    except ImageError as problem:
        return problem


def drawable_regions(row: dict[str, Any], variant: Variant) -> list[int]:
    """Return the regions with area; for drawings of the dataset's own masks those of them that have one."""
    valid = valid_regions(row)
    return [i for i in valid if row["regions"][i]["exact_mask"]] if variant.mask_source == "exact" else valid


def boxes_of(row: dict[str, Any], regions: Sequence[int]) -> Boxes:
    """Return the boxes of some regions of an image row: N x 4, (x, y, width, height) in pixels."""
    return np.array([row["regions"][i]["box_xywh"] for i in regions], dtype=np.float64).reshape(-1, 4)


def image_views(
    row: dict[str, Any],
    regions: list[int],
    masks: Masks | None,
    part: pa.Table | None,
    index: int,
    device: str = "cpu",
    picture: Image.Image | None = None,
) -> ImageViews:
    """Return what draws some regions of an image row.

    Args:
        row: image row.
        regions: numbers of regions with area.
        masks: what SAM made, for drawings of its masks.
        part: of `masks` for the row's shard.
        index: of the row in its shard.
        device: where pixels are computed.
        picture: of the row, if it is decoded already.

    Raises:
        ImageError: if the picture cannot be decoded.
    """
    return ImageViews(
        picture or decode_row(row),
        boxes_of(row, regions),
        masks_of=partial(masks_of, row, regions, part, index),
        frame_px=masks.segmenter.frame_px if masks else SAM_FRAME_PX,
        device=device,
    )


def masks_of(
    row: dict[str, Any], valid: list[int], part: pa.Table | None, index: int, source: MaskSource
) -> BoolMasks:
    """Return the masks of the valid regions: SAM's from a masks part, or the dataset's from the row.

    Raises:
        ImageError: `mask.missing` if a region has none, `mask.damaged` if one cannot be decoded.
    """
    size_hw = (row["height"], row["width"])
    if source == "exact":
        stored = [region["exact_mask"] for region in row["regions"]]
    else:
        assert part is not None
        stored = part.column("masks")[index].as_py()
    missing = [i for i in valid if stored[i] is None]
    if missing:
        raise ImageError("mask.missing", f"region {missing[0]} has no {source} mask")
    if source != "exact" and valid:
        size_hw = tuple(stored[valid[0]]["size"])
    try:
        return decode_masks([stored[i] for i in valid], size_hw)
    except ValueError as problem:
        raise ImageError("mask.damaged", str(problem)) from problem


def _part(rows: pa.Table, result: _Collected) -> pa.Table:
    schema = features_schema(result.model.dimensions)
    columns = {"image_key": rows.column("image_key"), "features": result.features, "error": result.errors}
    table = pa.table([pa.array(_list(columns[f.name]), f.type) for f in schema], schema=schema)
    return table.replace_schema_metadata({LOGIT_SCALE: repr(result.model.logit_scale).encode()})


def _list(values: Any) -> Any:
    return values.to_pylist() if hasattr(values, "to_pylist") else values
