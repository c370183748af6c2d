"""Boolean masks: storage as COCO run lengths, tight boxes, overlap, and removal of small regions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from operators.pixels.geometry import MAX_COORDINATE_PX

BoolMasks = NDArray[np.bool_]
LEAST_NUMBERS = 6
# Of one mask; the largest of COCO has about 20 kB.
MAX_COUNTS_BYTES = 1 << 24


class RunLengths(TypedDict):
    """One mask in COCO's compressed run-length encoding; `size` is [height, width] in pixels."""

    size: list[int]
    counts: bytes


def encode_masks(masks_NHW: BoolMasks) -> list[RunLengths]:
    """Encode N masks of one size as COCO run lengths.

    Raises:
        ValueError: if the masks are not a boolean N x H x W array.
    """
    if masks_NHW.ndim != 3 or masks_NHW.dtype != np.bool_:
        raise ValueError(f"expected boolean masks N x H x W, got {masks_NHW.dtype} {masks_NHW.shape}")
    if not len(masks_NHW):
        return []
    encoded = coco_masks.encode(np.asfortranarray(masks_NHW.transpose(1, 2, 0).view(np.uint8)))
    return [{"size": [int(side) for side in rle["size"]], "counts": bytes(rle["counts"])} for rle in encoded]


def decode_masks(run_lengths: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> BoolMasks:
    """Decode run lengths, all of the size (height, width) in pixels, to boolean masks N x H x W.

    Raises:
        ValueError: if a mask has another size or its counts do not fit that size.
    """
    for rle in run_lengths:
        if tuple(rle["size"]) != tuple(size_hw):
            raise ValueError(f"mask of size {list(rle['size'])}, expected {list(size_hw)} (height, width)")
    if not run_lengths:
        return np.zeros((0, *size_hw), dtype=np.bool_)
    stored = [{"size": list(size_hw), "counts": bytes(rle["counts"])} for rle in run_lengths]
    columns_HWN = coco_masks.decode(stored)
    # Counts that end early leave the rest of pycocotools' buffer as it was, so the way back is checked.
    for rle, again in zip(stored, coco_masks.encode(columns_HWN), strict=True):
        if rle["counts"] != again["counts"]:
            raise ValueError(f"run lengths do not describe a mask of size {list(size_hw)} (height, width)")
    return np.ascontiguousarray(columns_HWN.transpose(2, 0, 1)).view(np.bool_)


def mask_of_segmentation(segmentation: Any, size_hw: tuple[int, int]) -> RunLengths | None:
    """Return the mask of a COCO segmentation in an image of (height, width) pixels.

    Args:
        segmentation: polygons [[x1, y1, x2, y2, ...], ...] in pixels, or run lengths: `size` [height, width],
            and `counts` as a list of numbers (as crowds have them), or compressed, as text or bytes.
        size_hw: of the image.

    Returns:
        None for anything else, and for run lengths of another size. Pieces with less than three corners have
        no inside and are left out; some of COCO's own objects have such pieces beside others.
    """
    height, width = size_hw
    if not height * width:
        return None
    if isinstance(segmentation, dict):
        return _of_run_lengths(segmentation, size_hw)
    pieces = segmentation if isinstance(segmentation, list) else []
    polygons = [piece for piece in pieces if not (isinstance(piece, list) and len(piece) < LEAST_NUMBERS)]
    if not polygons or not all(map(_is_polygon, polygons)):
        return None
    # Outside the image pycocotools would follow the outline pixel by pixel, however long it is.
    inside = [np.clip(np.reshape(polygon, (-1, 2)), 0, (width, height)) for polygon in polygons]
    rle = coco_masks.merge(coco_masks.frPyObjects([p.ravel().tolist() for p in inside], height, width))
    return {"size": [height, width], "counts": bytes(rle["counts"])}


def _of_run_lengths(segmentation: Mapping[str, Any], size_hw: tuple[int, int]) -> RunLengths | None:
    height, width = size_hw
    counts: Any = segmentation.get("counts")
    if segmentation.get("size") != [height, width]:
        return None
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != height * width:
            return None
        rle = coco_masks.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        return {"size": [height, width], "counts": bytes(rle["counts"])}
    if not isinstance(counts, str | bytes) or len(counts) > MAX_COUNTS_BYTES:
        return None
    compressed = counts if isinstance(counts, bytes) else counts.encode("latin-1", "replace")
    found: RunLengths = {"size": [height, width], "counts": compressed}
    try:
        decode_masks([found], size_hw)
    except ValueError:
        return None
    return found


def tight_boxes_xyxy(masks_NHW: BoolMasks) -> NDArray[np.int64]:
    """Return the N x 4 boxes around masks with *inclusive* right and bottom pixel; zeros for an empty mask.

    Source: rec_scoring spec section 4 step 8. Width and height are therefore one less than a pixel count.
    """
    boxes = np.zeros((len(masks_NHW), 4), dtype=np.int64)
    for box, mask_HW in zip(boxes, masks_NHW, strict=True):
        x, y, width, height = cv2.boundingRect(mask_HW.view(np.uint8))
        if width:
            box[:] = x, y, x + width - 1, y + height - 1
    return boxes


def mask_iou(first_NHW: BoolMasks, second_MHW: BoolMasks) -> NDArray[np.float64]:
    """Return the N x M intersection over union of masks of one size; 0 where both masks are empty."""
    # Pixel counts stay below 2^24, so float32 products are exact and use the fast matrix kernel.
    first = first_NHW.reshape(len(first_NHW), math.prod(first_NHW.shape[1:])).astype(np.float32)
    second = second_MHW.reshape(len(second_MHW), math.prod(second_MHW.shape[1:])).astype(np.float32)
    intersection = (first @ second.T).astype(np.float64)
    union = first.sum(1)[:, None] + second.sum(1)[None].astype(np.float64) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def remove_small_regions(mask_HW: BoolMasks, min_area_px: int) -> BoolMasks:
    """Fill holes, then drop islands, of fewer than `min_area_px` pixels.

    Regions are 8-connected. A hole is any component of the complement, also one at the border of the image.
    If all islands are small, the largest stays (of equals, the first that OpenCV labels). The mask itself
    is not changed. Source: rec_scoring spec section 4 step 7.
    """
    cleaned = mask_HW.copy()
    rows, columns = _window(mask_HW, min_area_px)
    window = cleaned[rows, columns]
    fill_small_holes(window, min_area_px)
    drop_small_islands(window, min_area_px)
    return cleaned


def fill_small_holes(mask_HW: BoolMasks, min_area_px: int) -> None:
    """Set to true, in place, the 8-connected components of the complement below `min_area_px` pixels."""
    labels_HW, areas_px = _components(~mask_HW)
    small = areas_px < min_area_px
    if small.any():
        mask_HW |= _regions(small, labels_HW)


def drop_small_islands(mask_HW: BoolMasks, min_area_px: int) -> None:
    """Set to false, in place, the 8-connected components below `min_area_px` pixels; never all of them."""
    labels_HW, areas_px = _components(mask_HW)
    keep = areas_px >= min_area_px
    if keep.all():
        return
    if not keep.any():
        keep[areas_px.argmax()] = True
    mask_HW &= _regions(keep, labels_HW)


def _components(mask_HW: BoolMasks) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Label 8-connected components from 1 (0 is background); return labels H x W and areas in pixels."""
    # Counting the labels is half the price of OpenCV's own statistics, which also fit boxes and centroids.
    count, labels_HW = cv2.connectedComponents(np.ascontiguousarray(mask_HW).view(np.uint8), connectivity=8)
    return labels_HW, np.bincount(labels_HW.ravel(), minlength=count)[1:]


def _regions(selected: NDArray[np.bool_], labels_HW: NDArray[np.int32]) -> BoolMasks:
    """Return the mask of the selected components; `selected` starts at label 1."""
    return np.take(np.concatenate([[False], selected]), labels_HW)


def _window(mask_HW: BoolMasks, min_area_px: int) -> tuple[slice, slice]:
    """Return a window around a mask in which small regions are the same as in the whole image.

    Each margin is so deep that it alone holds `min_area_px` background pixels, or ends at the border.
    Whatever background continues outside the window is therefore large inside it too.
    """
    height_px, width_px = mask_HW.shape
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask_HW).view(np.uint8))
    if not width:
        return slice(0, height_px), slice(0, width_px)
    margin_x, margin_y = math.ceil(min_area_px / height), math.ceil(min_area_px / width)
    # OpenCV labels blocks of 2 x 2 pixels: an even start keeps the order of labels, which decides ties.
    top, left = max(0, y - margin_y) & ~1, max(0, x - margin_x) & ~1
    return slice(top, y + height + margin_y), slice(left, x + width + margin_x)


def _is_polygon(polygon: Any) -> bool:
    numbers = polygon if isinstance(polygon, list) else []
    return (
        len(numbers) >= LEAST_NUMBERS
        and len(numbers) % 2 == 0
        and all(type(v) in (int, float) and abs(v) < MAX_COORDINATE_PX for v in numbers)
    )
