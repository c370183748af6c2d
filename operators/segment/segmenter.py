"""What the stages ask of a segmenter, and the kinds of segmenters that there are.

To add a kind, put a file into `segmenters/` (or into a package of your own that is advertised under the entry
point group `visual_prompt_bench.segmenters`) that calls `register`. Users then write
`--segmenter KIND:ARCHITECTURE:FILE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operators.methods.models import Segmenter
from operators.pixels.geometry import Boxes
from operators.pixels.masks import BoolMasks
from operators.rows.registry import Registry
from operators.segment.proposals import GridProposal, GridSettings


class SegmenterModel(Protocol):
    """A model that turns boxes, points or nothing but an image into masks, with its weights.

    Masks lie in the segmenter's frame: the image with its long side at `frame_px`.
    """

    @property
    def frame_px(self) -> int:
        """Long side of the frame."""

    def frame_size_px(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Return (height, width) in pixels of an image in the frame."""

    def segment(self, image_HWC: NDArray[np.uint8], boxes_xyxy: ArrayLike) -> BoolMasks:
        """Return one mask per box, boolean N x H x W in the frame; boxes N x 4 in pixels of the image."""

    def regions_at_points(
        self, image_HWC: NDArray[np.uint8], points_xy: NDArray[np.float64]
    ) -> tuple[Boxes, BoolMasks]:
        """Return one region for every point: boxes N x 4 (xyxy, pixels of the image), masks N x H x W."""

    def regions_on_grid(self, image_HWC: NDArray[np.uint8], settings: GridSettings) -> Sequence[GridProposal]:
        """Propose regions at a grid of points, best predicted IoU first; possibly none."""


@runtime_checkable
class BatchedSegmenter(Protocol):
    """What a segmenter may offer besides, so that a GPU does not wait for the host: `segment` in three steps.

    `to_frame` and `cleaned` run in other threads, beside `raw_masks` of other pictures.
    """

    def to_frame(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an image to the frame."""

    def raw_masks(
        self,
        frames_HWC: Sequence[NDArray[np.uint8]],
        sizes_hw: Sequence[tuple[int, int]],
        boxes_xyxy: Sequence[ArrayLike],
    ) -> list[BoolMasks]:
        """Return the masks of several images at once, on the device."""

    def cleaned(self, masks_NHW: BoolMasks) -> BoolMasks:
        """Return the masks as `segment` does."""


@dataclass(frozen=True)
class SegmenterKind:
    """How segmenters of one kind are loaded and checked.

    Attributes:
        load: builds a model from a checkpoint file on a device.
        require_fits: checks that a file holds the parameters of the segmenter and nothing else, without
            building it in memory; raises ValueError naming what does not fit.
        settings_of: fields of `Segmenter` that an architecture decides, such as frame_px.
        flops: floating-point operations of a `picture` and of a `box`; None if that is not known.
    """

    load: Callable[[Segmenter, str, str], SegmenterModel]
    require_fits: Callable[[Segmenter, str], None]
    settings_of: Callable[[str], dict[str, Any]] = lambda _: {}
    flops: Callable[[Segmenter], Mapping[str, float] | None] = lambda _: None


KINDS: Registry[SegmenterKind] = Registry(
    "kind of segmenter", home="operators.segment.segmenters", group="visual_prompt_bench.segmenters"
)


def register(name: str, kind: SegmenterKind) -> SegmenterKind:
    """Make a kind of segmenter known. Raises ValueError if its name is taken."""
    return KINDS.add(name, kind)


def kind_of(segmenter: Segmenter) -> SegmenterKind:
    """Return the kind of a segmenter. Raises ValueError if there is none of that name."""
    return KINDS.find(segmenter.kind)


def load_segmenter(segmenter: Segmenter, weights_path: str, device: str) -> SegmenterModel:
    """Build a segmenter from a verified checkpoint file.

    Raises:
        ValueError: if the file cannot be read or its parameters do not fit the architecture.
    """
    return kind_of(segmenter).load(segmenter, weights_path, device)
