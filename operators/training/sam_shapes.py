"""A small SAM for coloured shapes: a box prompt gives one mask, a point three with a predicted IoU each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from operators.datasets.scenes.dataset import Scene, make_scene
from operators.pixels.geometry import xywh_to_xyxy
from operators.pixels.sam_frame import boxes_to_frame, to_frame
from operators.segment.sam_architectures import SamShape, build_sam
from operators.segment.sam_model import SegmentAnything
from operators.training.task import ModelFolder

FRAME_PX = 256
MIN_AREA_PX = 25  # as 400 in a frame of 1024
SHAPE = SamShape(
    image_size=FRAME_PX, width=96, depth=4, heads=3, global_layers=(1, 3), window_size=8, patch_size=8
)
SCENES_PER_STEP = 6
BACKGROUND_POINTS = 2
JITTER = 0.08
INSIDE = 1  # SAM's label of a point that belongs to the object


class SamShapes:
    """The task: what is learned, from what, and how well it is known (see `operators.training.task`)."""

    name = "sam-shapes"
    steps = 1000
    learning_rate = 8e-4
    cycles: tuple[tuple[int, int], ...] = ((0, 600), (600, 400))
    folder = ModelFolder(
        "sam_config.json",
        "sam_model.safetensors",
        SHAPE.model_dump(mode="json") | {"min_area_px": MIN_AREA_PX},
    )

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def build(self) -> torch.nn.Module:
        """Return the model with fresh weights drawn from the seed."""
        torch.manual_seed(self._seed)
        return build_sam(SHAPE.model_dump_json())

    def exported(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the state dict: all of it belongs to the model."""
        return state

    def examples(self, step: int) -> dict[str, Any]:
        """Make the batch of one step.

        Returns:
            `frames` uint8 (B, 3, 256, 256), padded right and below; and of each image, as lists, `boxes`
            (N, 4) and `points` (M, 2) in frame pixels, `masks` bool (N, 256, 256), and `targets` (M): the
            mask that a point lies in, -1 for none.
        """
        batch: dict[str, Any] = {"frames": [], "boxes": [], "points": [], "targets": [], "masks": []}
        for number in range(step * SCENES_PER_STEP, (step + 1) * SCENES_PER_STEP):
            random = np.random.RandomState([self._seed, 23, number])
            scene = make_scene(self._seed, "train", number)
            frame_HWC, masks_NHW, boxes = _in_frame(scene, random)
            points, targets = _points(masks_NHW, frame_HWC.shape[:2], random)
            batch["frames"].append(torch.from_numpy(_padded(frame_HWC)).permute(2, 0, 1))
            batch["masks"].append(torch.from_numpy(masks_NHW))
            batch["boxes"].append(torch.from_numpy(boxes))
            batch["points"].append(torch.from_numpy(points))
            batch["targets"].append(torch.from_numpy(targets))
        return batch | {"frames": torch.stack(batch["frames"])}

    def loss(self, model: Any, batch: dict[str, Any], progress: float) -> Tensor:
        """Return the mean over images of mask losses, and of how far predicted IoUs are off."""
        pixels = (batch["frames"].float() - model.pixel_mean) / model.pixel_std
        embeddings = model.image_encoder(pixels)
        losses = []
        for index in range(len(embeddings)):
            masks, targets = batch["masks"][index].float(), batch["targets"][index]
            boxes = batch["boxes"][index][:, None]
            logits, iou = _decode(model, embeddings[index : index + 1], boxes=boxes)
            losses.append(_mask_loss(logits, masks[:, None]).mean() + _iou_loss(logits, iou, masks[:, None]))
            points = batch["points"][index][:, None], torch.full_like(targets, INSIDE)[:, None]
            logits, iou = _decode(model, embeddings[index : index + 1], points=points)
            hit = targets >= 0
            wanted = masks[targets.clamp(min=0)][:, None] * hit[:, None, None, None]
            losses.append(_mask_loss(logits, wanted)[hit].min(1).values.mean())
            losses.append(_iou_loss(logits, iou, wanted))
        return torch.stack(losses).sum() / len(embeddings)

    @torch.inference_mode()
    def evaluate(self, model: Any, scenes: int = 40) -> dict[str, float]:
        """Return the mean IoU with the exact masks, of held-out scenes, prompted with exact boxes."""
        segmenter = SegmentAnything.from_state_dict(
            SHAPE.model_dump_json(), model.state_dict(), min_area_px=MIN_AREA_PX
        )
        overlaps: list[float] = []
        for number in range(scenes):
            scene = make_scene(self._seed + 1, "train", number)
            boxes_xyxy = xywh_to_xyxy(np.array(scene.boxes_xywh))
            found = segmenter.segment(scene.image_HWC, boxes_xyxy)
            exact = _resized(scene.masks_NHW, found.shape[1:])
            overlaps += [float((f & e).sum() / (f | e).sum()) for f, e in zip(found, exact, strict=True)]
        return {"mean IoU": float(np.mean(overlaps))}


def _in_frame(
    scene: Scene, random: np.random.RandomState
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float32]]:
    frame_HWC = to_frame(scene.image_HWC, FRAME_PX)
    boxes_xywh = np.array(scene.boxes_xywh)
    jitter = random.normal(0, JITTER, boxes_xywh.shape) * np.tile(boxes_xywh[:, 2:], 2)
    jittered = random.uniform(size=(len(boxes_xywh), 1)) < 0.6
    boxes_xyxy = xywh_to_xyxy(boxes_xywh + jittered * jitter)
    boxes = boxes_to_frame(boxes_xyxy, scene.image_HWC.shape[:2], FRAME_PX)
    masks = np.zeros((len(boxes), FRAME_PX, FRAME_PX), dtype=np.bool_)
    height, width = frame_HWC.shape[:2]
    masks[:, :height, :width] = _resized(scene.masks_NHW, (height, width))
    return frame_HWC, masks, boxes.astype(np.float32)


def _points(
    masks_NHW: NDArray[np.bool_], size_hw: tuple[int, ...], random: np.random.RandomState
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw a point of every mask, and some of the ground."""
    points, targets = [], []
    for index, mask in enumerate(masks_NHW):
        rows, columns = np.nonzero(mask)
        choice = random.randint(len(rows))
        points.append((columns[choice] + 0.5, rows[choice] + 0.5))
        targets.append(index)
    for _ in range(BACKGROUND_POINTS):
        row, column = random.randint(size_hw[0]), random.randint(size_hw[1])
        points.append((column + 0.5, row + 0.5))
        covering = np.flatnonzero(masks_NHW[:, row, column])
        targets.append(int(covering[0]) if len(covering) else -1)
    return np.array(points, dtype=np.float32), np.array(targets)


def _padded(frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    square = np.zeros((FRAME_PX, FRAME_PX, 3), dtype=np.uint8)
    square[: frame_HWC.shape[0], : frame_HWC.shape[1]] = frame_HWC
    return square


def _resized(masks_NHW: NDArray[np.bool_], size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    levels = torch.from_numpy(masks_NHW).float()[:, None]
    return (F.interpolate(levels, size_hw, mode="bilinear", antialias=True)[:, 0] > 0.5).numpy()


def _decode(
    model: Any, embedding_1CHW: Tensor, *, boxes: Tensor | None = None, points: Any = None
) -> tuple[Tensor, Tensor]:
    """Return low-resolution logits (N, M, h, w) and predicted IoUs (N, M); M is 1 for boxes, 3 for points."""
    sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=None)
    logits, iou = model.mask_decoder(
        image_embeddings=embedding_1CHW,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=boxes is None,
    )
    return logits.float(), iou.float()


def _mask_loss(logits_NMhw: Tensor, masks_N1HW: Tensor) -> Tensor:
    """Return binary cross-entropy plus dice loss of every mask, (N, M)."""
    wanted = _shrunk(masks_N1HW, logits_NMhw).expand_as(logits_NMhw)
    entropy = F.binary_cross_entropy_with_logits(logits_NMhw, wanted, reduction="none").mean((2, 3))
    chance = logits_NMhw.sigmoid()
    dice = 1 - (2 * (chance * wanted).sum((2, 3)) + 1) / (chance.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    return 4 * entropy + dice


def _iou_loss(logits_NMhw: Tensor, iou_NM: Tensor, masks_N1HW: Tensor) -> Tensor:
    found, wanted = logits_NMhw > 0, _shrunk(masks_N1HW, logits_NMhw) > 0.5
    shared, either = (found & wanted).sum((2, 3)), (found | wanted).sum((2, 3)).clamp(min=1)
    return F.mse_loss(iou_NM, shared / either)


def _shrunk(masks_N1HW: Tensor, logits_NMhw: Tensor) -> Tensor:
    return F.interpolate(masks_N1HW, logits_NMhw.shape[2:], mode="area")
