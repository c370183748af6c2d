"""The only place that opens image bytes.

Rule for every input: JPEG, PNG or WebP, first frame, as stored (EXIF rotation is not applied, boxes refer to
the stored orientation), converted to RGB by Pillow. The header is judged before a pixel is decoded.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000
# Drawings scale the short side to a few hundred pixels: a strip of 1 x 60000 would grow to gigapixels.
MAX_ASPECT = 32
MAX_SIXTEEN_BIT = 65535
ORIENTATION_TAG = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)


class ImageError(ValueError):
    """An image that can never be used. `code` is stable: `image.truncated`, `image.format` ..."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_size(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return (width, height) in pixels from the header alone.

    Raises:
        ImageError: `image.empty`, `image.format` (not JPEG, PNG or WebP), `image.undecodable`,
            `image.too_large` (more than `max_pixels`), `image.too_thin` (one side over 32 times the other).
    """
    with _open(data, max_pixels) as image:
        return image.size


def decode_rgb(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode to an RGB Pillow image.

    16-bit greyscale is scaled to 8 bits (Pillow alone would clip it); transparency is dropped, not blended.

    Raises:
        ImageError: as `read_size`, and `image.truncated` or `image.undecodable` for damaged pixel data.
    """
    with _open(data, max_pixels) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError, EOFError) as problem:
            raise _damaged(data, problem) from problem
        if image.mode.startswith("I;16") or image.mode == "I":
            values = np.asarray(image, dtype=np.float64) * (255 / MAX_SIXTEEN_BIT)
            return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")
        return image.convert("RGB")


def is_turned(data: bytes) -> bool:
    """Say whether EXIF data turns a picture by a quarter, so that viewers exchange its width and height.

    Pictures that cannot be opened are not turned.
    """
    try:
        with _open(data, MAX_PIXELS) as image:
            return image.getexif().get(ORIENTATION_TAG) in QUARTER_TURNS
    except (ImageError, OSError, SyntaxError, ValueError):
        return False


def decode_row(row: dict[str, Any]) -> Image.Image:
    """Decode the picture of an image row.

    Raises:
        ImageError: as `decode_rgb`, or with the row's own error if it was set aside before.
    """
    if row["error"] is not None:
        raise ImageError(row["error"]["code"], row["error"]["message"])
    return decode_rgb(row["image"])


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return an RGB Pillow image as a fresh uint8 array H x W x 3."""
    return np.array(image, dtype=np.uint8)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise ImageError("image.empty", "the file has no bytes")
    # Half-decoded pictures must never pass, whatever another library has set in this process.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as problem:
        raise ImageError("image.too_large", str(problem)) from problem
    except UnidentifiedImageError as problem:
        raise ImageError(*_unidentified(data)) from problem
    except (OSError, SyntaxError, ValueError) as problem:
        raise _damaged(data, problem) from problem
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise ImageError("image.too_large", f"{width} x {height} pixels, more than {max_pixels}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        image.close()
        raise ImageError(
            "image.too_thin", f"{width} x {height} pixels, one side over {MAX_ASPECT} times the other"
        )
    return image


def _damaged(data: bytes, problem: Exception) -> ImageError:
    """Tell a file that was cut off from one that is broken; a WebP file states its length."""
    cut = "truncated" in str(problem).lower() or (data.startswith(b"RIFF") and _ends_early(data))
    return ImageError("image.truncated" if cut else "image.undecodable", str(problem))


def _ends_early(data: bytes) -> bool:
    """Say whether a JPEG, PNG or WebP file lacks its end mark or the length that it states."""
    if data.startswith(b"RIFF"):
        return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
    return not data.rstrip(b"\0").endswith((b"\xff\xd9", b"IEND\xaeB`\x82"))


def _unidentified(data: bytes) -> tuple[str, str]:
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG")) or (
        data[:4] == b"RIFF" and b"WEBP".startswith(data[8:12])
    ):
        if _ends_early(data):
            return "image.truncated", f"only {len(data)} bytes, which end within the header"
        return "image.undecodable", "the header is damaged"
    known = {b"%PDF": "PDF", b"8BPS": "PSD", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"}
    known |= {b"%!PS": "EPS", b"SIMPLE": "FITS", b"<svg": "SVG", b"<?xml": "SVG or XML", b"RIFF": "RIFF"}
    for magic, name in known.items():
        if data.startswith(magic):
            return "image.format", f"{name} is not accepted; convert it to JPEG, PNG or WebP"
    return "image.undecodable", f"not a JPEG, PNG or WebP file (first bytes {data[:8]!r})"
