"""What a preview is asked for, read and checked before a model is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from infra.errors import InputError
from infra.files import storage
from operators.methods.catalog import find_method
from operators.methods.variants import Variant
from operators.pixels.geometry import INVALID, Boxes, box_status
from operators.pixels.images import ImageError, decode_rgb

MAX_REGIONS = 500
MAX_INTEGER = 2**53


def read_image(url: str) -> tuple[Image, str]:
    """Return a picture as RGB and the SHA-256 of its file.

    Raises:
        InputError: if it cannot be read or decoded.
    """
    try:
        data = storage.read_bytes(url)
        return decode_rgb(data), hashlib.sha256(data).hexdigest()
    except OSError as problem:
        raise InputError(f"--image {url} cannot be read: {problem.strerror or problem}") from problem
    except ImageError as problem:
        raise InputError(f"--image {url}: {problem}") from problem


def read_boxes_xyxy(url: str, size_wh_px: tuple[int, int]) -> Boxes:
    """Read the candidate boxes of an image of that size, N x 4; they are judged as those of a dataset are.

    Raises:
        InputError: naming the box that cannot be a candidate, or what else the file is.
    """
    boxes = _read_numbers("--boxes", url, "x1, y1, x2, y2")
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        if box_status((x1, y1, x2 - x1, y2 - y1), *size_wh_px) == INVALID:
            raise InputError(
                f"--boxes {url}: item {index} {[x1, y1, x2, y2]} is not finite, has no area, or lies outside "
                f"the image of {size_wh_px[0]} x {size_wh_px[1]} px"
            )
    return np.array(boxes)


def read_points_xy(url: str, size_wh_px: tuple[int, int]) -> Boxes:
    """Read points in an image of that size, N x 2.

    Raises:
        InputError: naming the point that is outside, or what else the file is.
    """
    points = _read_numbers("--points", url, "x, y")
    for index, (x, y) in enumerate(points):
        if not (0 <= x < size_wh_px[0] and 0 <= y < size_wh_px[1]):
            size = f"{size_wh_px[0]} x {size_wh_px[1]}"
            raise InputError(f"--points {url}: item {index} {[x, y]} is not in the image of {size} px")
    return np.array(points)


def read_drawings(texts: Sequence[str]) -> list[Variant]:
    """Return the drawings written in paper notation, each once.

    Raises:
        InputError: for an unknown drawing, and for methods that are more than drawings.
    """
    drawings: dict[Variant, None] = {}
    for text in texts:
        try:
            method = find_method(text)
        except ValueError as problem:
            raise InputError(f"--drawings: {problem}") from problem
        if not method.variants or method.subtraction or method.relations:
            raise InputError(f"--drawings {text}: not a drawing; write codes such as D4 or P|D4")
        drawings |= dict.fromkeys(method.variants)
    if not drawings:
        raise InputError("--drawings: name at least one drawing, such as D4")
    return list(drawings)


def _read_numbers(flag: str, url: str, names: str) -> list[list[float]]:
    """Read a list of lists of as many numbers as there are names."""
    form, length = f"[[{names}], ...] in pixels", names.count(",") + 1
    try:
        content = json.loads(storage.read_bytes(url))
    except OSError as problem:
        raise InputError(f"{flag} {url} cannot be read: {problem.strerror or problem}") from problem
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{flag} {url}: not JSON: {problem}") from problem
    if not isinstance(content, list) or not 0 < len(content) <= MAX_REGIONS:
        raise InputError(f"{flag} {url}: expected 1 to {MAX_REGIONS} items, {form}")
    for index, item in enumerate(content):
        if not (isinstance(item, list) and len(item) == length and all(map(_is_number, item))):
            raise InputError(f"{flag} {url}: item {index} is {str(item)[:80]}; expected {form}")
    return [[float(value) for value in item] for item in content]


def _is_number(value: Any) -> bool:
    """Tell numbers from truth values, and from integers that no float can hold."""
    return type(value) is float or (type(value) is int and abs(value) < MAX_INTEGER)
