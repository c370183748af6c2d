"""SAM: one image and its boxes in, one mask per box out, in the segmenter's frame.

Source: rec_scoring spec section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from segment_anything.modeling import Sam
from torch.nn import functional

from operators.pixels import sam_frame
from operators.pixels.masks import BoolMasks, remove_small_regions
from operators.segment.sam_architectures import build_sam
from operators.segment.sam_attention import fuse_attention
from operators.weights.state_dict import misfits
from operators.weights.unset import unset_parameters


@dataclass(frozen=True)
class ImageEmbedding:
    """What SAM knows about one image, for any number of prompts.

    Attributes:
        features_1CHW: encoder output, float32, on the segmenter's device.
        image_size_hw: height and width of the original image in pixels.
        frame_size_hw: height and width in the segmenter's frame in pixels.
    """

    features_1CHW: torch.Tensor
    image_size_hw: tuple[int, int]
    frame_size_hw: tuple[int, int]


class SegmentAnything:
    """Box-prompted SAM.

    Attributes:
        frame_px: long side of the frame; the image size of the model (1024 for the published ones).
        min_area_px: smaller holes and islands are removed from masks; 0 keeps masks as they are.
        boxes_per_batch: boxes decoded at once; changes memory, not masks.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        min_area_px: int = 400,
        boxes_per_batch: int = 16,
    ) -> None:
        """Take over a SAM module of any size.

        Only the image encoder runs in `dtype`. The decoder is a thousandth of the work, and mask borders are
        where its logits cross zero, so it stays in float32.
        """
        self.sam = sam.to(device).eval().requires_grad_(False)
        fuse_attention(self.sam.image_encoder)
        if dtype is not torch.float32:
            _encode_in(self.sam.image_encoder, dtype)
        self.min_area_px = min_area_px
        self.boxes_per_batch = boxes_per_batch

    @classmethod
    def from_state_dict(
        cls, architecture: str, state_dict: Mapping[str, torch.Tensor], **options: Any
    ) -> Self:
        """Build an architecture (see `build_sam`) and load its weights; `options` are the constructor's.

        Raises:
            ValueError: if there is no such architecture, or the state dict lacks parameters, has others, or
                has parameters of another shape.
        """
        with unset_parameters():
            sam = build_sam(architecture)
        problems = misfits(sam.state_dict(), state_dict)
        if problems:
            raise ValueError(f"not the weights of a SAM {architecture}; {problems}")
        sam.load_state_dict(dict(state_dict))
        return cls(sam, **options)

    @property
    def frame_px(self) -> int:
        return int(self.sam.image_encoder.img_size)

    def frame_size_px(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Return (height, width) in pixels of an image in this segmenter's frame."""
        return sam_frame.frame_size_px(height_px, width_px, self.frame_px)

    def to_frame(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize a uint8 RGB image to this segmenter's frame."""
        return sam_frame.to_frame(image_HWC, self.frame_px)

    def segment(self, image_HWC: NDArray[np.uint8], boxes_xyxy: ArrayLike) -> BoolMasks:
        """Return one mask per box, boolean N x H x W in the frame.

        Args:
            image_HWC: RGB image, uint8.
            boxes_xyxy: N x 4 finite boxes in original pixels; they may spill over the border.
        """
        return self.masks_from_boxes(self.embed(image_HWC), boxes_xyxy)

    def raw_masks(
        self,
        frames_HWC: Sequence[NDArray[np.uint8]],
        sizes_hw: Sequence[tuple[int, int]],
        boxes_xyxy: Sequence[ArrayLike],
    ) -> list[BoolMasks]:
        """Return what `segment` does for several images in one encoder pass, small regions and all.

        Args:
            frames_HWC: images in the frame (`to_frame`).
            sizes_hw: heights and widths of the images in pixels.
            boxes_xyxy: of each image, N x 4 in its pixels.
        """
        embeddings = self.embed_frames(frames_HWC, sizes_hw)
        return [self._decoded(e, boxes) for e, boxes in zip(embeddings, boxes_xyxy, strict=True)]

    def cleaned(self, masks_NHW: BoolMasks) -> BoolMasks:
        """Remove small regions from masks, in place; runs beside the device's work."""
        if self.min_area_px > 0:
            for index, mask_HW in enumerate(masks_NHW):
                masks_NHW[index] = remove_small_regions(mask_HW, self.min_area_px)
        return masks_NHW

    def embed(self, image_HWC: NDArray[np.uint8]) -> ImageEmbedding:
        """Encode one uint8 RGB image."""
        return self.embed_batch([image_HWC])[0]

    def embed_batch(self, images_HWC: Sequence[NDArray[np.uint8]]) -> list[ImageEmbedding]:
        """Encode images of any sizes in one encoder pass."""
        frames = [self.to_frame(image) for image in images_HWC]
        return self.embed_frames(frames, [image.shape[:2] for image in images_HWC])

    @torch.inference_mode()
    def embed_frames(
        self, frames_HWC: Sequence[NDArray[np.uint8]], sizes_hw: Sequence[tuple[int, int]]
    ) -> list[ImageEmbedding]:
        """Encode images that are in the frame already; `sizes_hw` are those of the images."""
        padded = [self.sam.preprocess(self._tensor_CHW(frame)) for frame in frames_HWC]
        features_NCHW = self.sam.image_encoder(torch.stack(padded))
        return [
            ImageEmbedding(features[None], size_hw, frame.shape[:2])
            for features, size_hw, frame in zip(features_NCHW, sizes_hw, frames_HWC, strict=True)
        ]

    def masks_from_boxes(self, embedding: ImageEmbedding, boxes_xyxy: ArrayLike) -> BoolMasks:
        """Return one mask per box of an encoded image, boolean N x H x W in the frame."""
        return self.cleaned(self._decoded(embedding, boxes_xyxy))

    @torch.inference_mode()
    def _decoded(self, embedding: ImageEmbedding, boxes_xyxy: ArrayLike) -> BoolMasks:
        boxes = sam_frame.boxes_to_frame(boxes_xyxy, embedding.image_size_hw, self.frame_px)
        masks_NHW = np.empty((len(boxes), *embedding.frame_size_hw), dtype=np.bool_)
        for start in range(0, len(boxes), self.boxes_per_batch):
            chunk = slice(start, start + self.boxes_per_batch)
            logits, _ = self.decode_boxes(embedding, boxes[chunk])
            masks_NHW[chunk] = masks_from_logits(logits, self.frame_px, embedding.frame_size_hw).cpu().numpy()
        return masks_NHW

    @torch.inference_mode()
    def decode_boxes(
        self, embedding: ImageEmbedding, frame_boxes_xyxy: NDArray[np.float32]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode boxes given in frame pixels.

        Returns:
            Low-resolution mask logits N x h x w and predicted IoU N, float32 on the segmenter's device.
        """
        boxes_N14 = torch.as_tensor(frame_boxes_xyxy, device=self.sam.device)[:, None]
        logits_N1HW, iou_N1 = self.decode(embedding, boxes=boxes_N14)
        return logits_N1HW[:, 0], iou_N1[:, 0]

    @torch.inference_mode()
    def decode(
        self,
        embedding: ImageEmbedding,
        *,
        boxes: torch.Tensor | None = None,
        points: tuple[torch.Tensor, torch.Tensor] | None = None,
        multimask: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode prompts of SAM's own prompt encoder, boxes N x 1 x 4 or points N x 1 x 2 with their labels.

        Returns:
            Low-resolution mask logits N x M x h x w and predicted IoU N x M, float32; M is 3 with `multimask`
            (the masks of a whole, a part and a part of it), else 1.
        """
        sparse, dense = self.sam.prompt_encoder(points=points, boxes=boxes, masks=None)
        logits_NMHW, iou_NM = self.sam.mask_decoder(
            image_embeddings=embedding.features_1CHW,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return logits_NMHW, iou_NM

    def _tensor_CHW(self, image_HWC: NDArray[np.uint8]) -> torch.Tensor:
        pixels = torch.as_tensor(image_HWC)
        if self.sam.device.type == "cuda":  # the copy then runs beside what the device computes
            pixels = pixels.pin_memory().to(self.sam.device, non_blocking=True)
        return pixels.to(self.sam.device).permute(2, 0, 1)


def masks_from_logits(
    logits_NHW: torch.Tensor, frame_px: int, frame_size_hw: tuple[int, int]
) -> torch.Tensor:
    """Upsample low-resolution logits to the square frame, cut the padding off and threshold above 0.

    Source: rec_scoring spec section 4 steps 6 and 7.
    """
    height_px, width_px = frame_size_hw
    square = functional.interpolate(
        logits_NHW[:, None], (frame_px, frame_px), mode="bilinear", align_corners=False
    )
    return square[:, 0, :height_px, :width_px] > 0


def _encode_in(image_encoder: torch.nn.Module, dtype: torch.dtype) -> None:
    """Make an encoder compute in `dtype` while its callers keep giving and getting float32."""
    image_encoder.to(dtype)
    image_encoder.register_forward_pre_hook(lambda _module, inputs: (inputs[0].to(dtype),))
    image_encoder.register_forward_hook(lambda _module, _inputs, output: output.float())
