"""What only the picture tells: an assembled image row with its size, hash, masks and statuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from operators.pixels.geometry import INVALID, box_status
from operators.pixels.images import ImageError, decode_rgb, is_turned
from operators.pixels.masks import mask_of_segmentation
from operators.rows.records import OK, QUARANTINED, error

Row = dict[str, Any]
STAGE = "prepare"
# Fields of assembled rows that completed rows do not have.
TRANSIENT = ("image_file", "annotated_wh")


def complete_row(row: Row, image: bytes | ImageError) -> Row:
    """Fill in what only the picture tells: size, hash, and the status of image, regions and expressions.

    Args:
        row: result of `assemble_rows`.
        image: the encoded picture, or why it could not be had for good.

    Returns:
        A row of `IMAGE_ROW`. A picture that cannot be decoded gives a quarantined row, never an exception.
    """
    annotated_wh = row.get("annotated_wh")
    row = {name: value for name, value in row.items() if name not in TRANSIENT}
    row["regions"] = [dict(region) for region in row["regions"]]
    try:
        if isinstance(image, ImageError):
            raise image
        row["width"], row["height"] = size_wh = decode_rgb(image).size
        _require_annotated_size(image, size_wh, annotated_wh)
    except ImageError as problem:
        row["status"], row["error"] = QUARANTINED, error(STAGE, problem.code, str(problem))
    row["image"] = image if isinstance(image, bytes) else b""
    row["image_sha256"] = hashlib.sha256(row["image"]).hexdigest()
    _whole_image_where_undetected(row)
    for region in row["regions"]:
        region["status"] = box_status(region["box_xywh"], row["width"], row["height"])
        region["exact_mask"] = mask_of_segmentation(region["exact_mask"], (row["height"], row["width"]))
    for ref in row["refs"]:
        for expression in ref["expressions"]:
            expression["error"] = _expression_error(row, ref, expression["text"])
            expression["status"] = QUARANTINED if expression["error"] else OK
    return row


def _require_annotated_size(
    image: bytes, size_wh: tuple[int, int], annotated_wh: Sequence[int] | None
) -> None:
    """Refuse a picture whose annotation speaks of another size: its boxes lie elsewhere.

    Raises:
        ImageError: `image.turned` if EXIF data explains the difference, else `image.size`.
    """
    if annotated_wh is None or tuple(annotated_wh) == size_wh:
        return
    stored, annotated = ("{} x {}".format(*wh) for wh in (size_wh, annotated_wh))
    if tuple(annotated_wh) == size_wh[::-1] and is_turned(image):
        raise ImageError(
            "image.turned",
            f"annotated as turned ({annotated}), stored as {stored} with an EXIF turn, which is not applied; "
            "turn the file itself, as `exiftran -a` does",
        )
    raise ImageError("image.size", f"the file is {stored}, the annotation speaks of {annotated}")


def add_proposals(row: Row, name: str, boxes_xywh: Iterable[Iterable[float]]) -> None:
    """Give an image row a proposal set, in place; a box that is already a region is shared.

    Args:
        row: with width and height filled in.
        name: of the set; an existing set of that name is replaced.
        boxes_xywh: in their order, pixels of the image.
    """
    numbers = {tuple(region["box_xywh"]): region["region_id"] for region in row["regions"]}
    ids = []
    for box in boxes_xywh:
        x, y, w, h = (float(v) for v in box)
        box_xywh = (x, y, w, h)
        if box_xywh not in numbers:
            numbers[box_xywh] = len(row["regions"])
            row["regions"].append(
                {
                    "region_id": numbers[box_xywh],
                    "box_xywh": list(box_xywh),
                    "sources": [],
                    "status": box_status(box_xywh, row["width"], row["height"]),
                    "exact_mask": None,
                }
            )
        sources = row["regions"][numbers[box_xywh]]["sources"]
        if name not in sources:
            sources.append(name)
        ids.append(numbers[box_xywh])
    sets = {proposal_set["name"]: proposal_set["region_ids"] for proposal_set in row["proposal_sets"]}
    row["proposal_sets"] = [{"name": n, "region_ids": i} for n, i in (sets | {name: ids}).items()]


def _whole_image_where_undetected(row: Row) -> None:
    """An image without detections gets one box covering it (rec_scoring spec section 2.3)."""
    if row["status"] != OK:
        return
    for proposal_set in list(row["proposal_sets"]):
        if proposal_set["name"].startswith("detections/") and not proposal_set["region_ids"]:
            add_proposals(row, proposal_set["name"], [(0, 0, row["width"], row["height"])])


def _expression_error(row: Row, ref: Row, text: str) -> Row | None:
    if row["status"] != OK:
        return dict(row["error"])
    if not text.strip():
        return error(STAGE, "text.empty", "the expression has no words")
    if "\0" in text:
        return error(STAGE, "text.invalid", "the expression contains a NUL character")
    if not ref["target_region_ids"]:
        return error(STAGE, "target.missing", "no annotation of the image has the target's id")
    if all(row["regions"][i]["status"] == INVALID for i in ref["target_region_ids"]):
        return error(STAGE, "target.invalid", "every target box is without area or outside the image")
    return None
