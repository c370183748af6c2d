"""SAM (segment-anything): boxes, points and grids to masks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from operators.methods.models import Segmenter
from operators.pixels.geometry import Boxes
from operators.pixels.masks import BoolMasks
from operators.segment.grid_proposals import grid_proposals
from operators.segment.point_proposals import regions_at_points
from operators.segment.proposals import GridProposal, GridSettings
from operators.segment.sam_architectures import build_sam
from operators.segment.sam_causes import likely_cause
from operators.segment.sam_model import SegmentAnything
from operators.segment.segmenter import SegmenterKind, register
from operators.weights.flops import count_flops
from operators.weights.state_dict import misfits, read_state


class Sam(SegmentAnything):
    """SAM behind the interface of segmenters."""

    def regions_at_points(
        self, image_HWC: NDArray[np.uint8], points_xy: NDArray[np.float64]
    ) -> tuple[Boxes, BoolMasks]:
        """Return one region for every point (`operators.segment.point_proposals`)."""
        return regions_at_points(self, image_HWC, points_xy)

    def regions_on_grid(self, image_HWC: NDArray[np.uint8], settings: GridSettings) -> list[GridProposal]:
        """Propose regions at a grid of points (`operators.segment.grid_proposals`)."""
        return grid_proposals(self, image_HWC, settings)


def _load(segmenter: Segmenter, weights_path: str, device: str) -> Sam:
    return Sam.from_state_dict(
        segmenter.architecture,
        read_state(weights_path),
        device=device,
        dtype=getattr(torch, segmenter.dtype),
        min_area_px=segmenter.min_area_px,
    )


def _require_fits(segmenter: Segmenter, path: str) -> None:
    sam, state = build_sam(segmenter.architecture, device="meta"), read_state(path)
    problems = misfits(sam.state_dict(), state)
    if problems:
        told = "; ".join(filter(None, [likely_cause(state), problems]))
        raise ValueError(f"{path} does not fit the architecture; {told}")
    found_px = sam.image_encoder.img_size
    if found_px != segmenter.frame_px:
        raise ValueError(f"{path} is for a frame of {found_px} px, expected {segmenter.frame_px} px")


def _flops(segmenter: Segmenter) -> dict[str, float]:
    sam = build_sam(segmenter.architecture, device="meta")
    side_px, (height, width) = sam.image_encoder.img_size, sam.prompt_encoder.image_embedding_size

    def decode() -> None:
        sparse, dense = sam.prompt_encoder(points=None, boxes=torch.zeros(1, 1, 4), masks=None)
        sam.mask_decoder(
            image_embeddings=torch.zeros(1, sam.prompt_encoder.embed_dim, height, width),
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )

    encode = count_flops(lambda: sam.image_encoder(torch.zeros(1, 3, side_px, side_px)))
    return {"picture": encode, "box": count_flops(decode)}


register("sam", SegmenterKind(_load, _require_fits, flops=_flops))
