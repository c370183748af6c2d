"""Ways to spoil one image, box or text of a data set, and what must become of each."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from scenes import BOXES, HEIGHT, WIDTH, Scene, encoded, expression_ids, pixels

Reach = Literal["image", "first reference", "first expression", "nothing"]


@dataclass(frozen=True)
class Case:
    """One way to spoil a scene.

    Attributes:
        name: `<what the issue lists>: <this way>`.
        spoil: changes a scene in place.
        reach: which expressions may differ from the clean run; all others must be equal to the bit.
        code: with which expressions are set aside; empty if all are scored.
        aside: which ones; those within reach by default.
        proposals: where they are set aside.
        region: status of the third annotation's region, where that is what was spoiled.
        clean: makes the scene of the clean run, where it is not the plain picture.
    """

    name: str
    spoil: Callable[[Scene], None]
    reach: Reach
    code: str = ""
    aside: Reach | None = None
    proposals: tuple[str, ...] = ("gold", "detections")
    region: str = ""
    clean: Callable[[Scene], None] = lambda scene: None

    def touched(self, number: int) -> set[str]:
        """Return the ids of the expressions that may differ."""
        return _within(self.reach, number)

    def set_aside(self, number: int) -> set[str]:
        """Return the ids of the expressions that must be set aside."""
        return _within(self.aside or self.reach, number) if self.code else set()


def _within(reach: Reach, number: int) -> set[str]:
    counts = {"image": 4, "first reference": 2, "first expression": 1, "nothing": 0}
    return set(expression_ids(number)[: counts[reach]])


def with_picture(make: Callable[[np.ndarray], bytes | None]) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        scene.picture = make(pixels(scene.number))

    return spoil


def with_values(**values: object) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        for name, value in values.items():
            setattr(scene, name, value)

    return spoil


def with_box(box: list[float], annotation: int = 2) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        scene.boxes[annotation] = box

    return spoil


def with_target(target: object) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        scene.targets[0] = target

    return spoil


def with_text(text: str) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        scene.sentences[0][0] = text

    return spoil


def bad_picture(name: str, code: str, make: Callable[[np.ndarray], bytes | None]) -> Case:
    return Case(name, with_picture(make), "image", code)


def cut(name: str, percent: int, file_format: str) -> Case:
    def make(array: np.ndarray) -> bytes:
        data = encoded(array, file_format)
        return data[: len(data) * percent // 100]

    return bad_picture(f"{name}: {file_format} at {percent} %", "image.truncated", make)


def claims(width: int, height: int) -> bytes:
    """A small PNG file whose header promises a large picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")


def same_pixels(
    name: str, make: Callable[[np.ndarray], bytes], rule: Callable[[np.ndarray, bytes], np.ndarray]
) -> Case:
    """The stored form must score as a plain RGB picture of the documented pixels does, to the bit."""
    return Case(
        name,
        with_picture(make),
        "nothing",
        clean=with_picture(lambda array: encoded(rule(array, make(array)))),
    )


def raw_values(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def cmyk_rule(array: np.ndarray, data: bytes) -> np.ndarray:
    """(255 - ink) x (255 - black) / 255, rounded."""
    inks = 255 - raw_values(data)
    return ((inks[..., :3] * inks[..., 3:] + 127) // 255).astype(np.uint8)


def sixteen_bit_rule(array: np.ndarray, data: bytes) -> np.ndarray:
    return np.repeat(((raw_values(data) + 128) // 257)[..., None], 3, axis=2).astype(np.uint8)


def grey(array: np.ndarray, data: bytes = b"") -> np.ndarray:
    return np.repeat(array[..., :1], 3, axis=2)


def sixteen_bit(array: np.ndarray) -> bytes:
    return encoded(array[..., 0].astype(np.uint16) * 250 + array[..., 1])


def palette_with_alpha(array: np.ndarray) -> bytes:
    picture = Image.fromarray(array).quantize(16)
    return encoded(picture, transparency=bytes(range(0, 240, 15)))


def palette_rule(array: np.ndarray, data: bytes) -> np.ndarray:
    colours = np.array(Image.open(io.BytesIO(data)).getpalette(), dtype=np.uint8).reshape(-1, 3)
    return colours[raw_values(data)]


def with_alpha(array: np.ndarray) -> bytes:
    return encoded(np.dstack([array, np.arange(WIDTH * HEIGHT, dtype=np.uint8).reshape(HEIGHT, WIDTH)]))


def rotated(array: np.ndarray) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(array, "JPEG", exif=exif, quality=95)


def animated(file_format: str, **options: object) -> Callable[[np.ndarray], bytes]:
    def make(array: np.ndarray) -> bytes:
        others = [Image.fromarray(255 - array), Image.fromarray(array[::-1].copy())]
        return encoded(array, file_format, save_all=True, append_images=others, **options)

    return make


def stored(array: np.ndarray, data: bytes) -> np.ndarray:
    return raw_values(data).astype(np.uint8)


PICTURES = [
    bad_picture("image undecodable: random bytes", "image.undecodable", lambda a: a.tobytes()[:500]),
    bad_picture("image undecodable: a web page", "image.undecodable", lambda a: b"<!DOCTYPE html><html>"),
    *(cut("image truncated", percent, kind) for kind in ("JPEG", "PNG", "WEBP") for percent in (10, 50, 90)),
    bad_picture("image zero bytes", "image.empty", lambda a: b""),
    bad_picture("image missing", "image.missing", lambda a: None),
    bad_picture("image too large: 60000 x 60000", "image.too_large", lambda a: claims(60_000, 60_000)),
    bad_picture("image too large: 8000 x 8000", "image.too_large", lambda a: claims(8_000, 8_000)),
    bad_picture("image too thin: 1 x 60000", "image.too_thin", lambda a: claims(1, 60_000)),
    *(
        bad_picture(f"image wrong format: {kind}", "image.format", lambda a, kind=kind: encoded(a, kind))
        for kind in ("GIF", "TIFF", "BMP", "PDF")
    ),
    bad_picture("image wrong format: PSD", "image.format", lambda a: b"8BPS\0\1" + bytes(100)),
    bad_picture("image wrong format: EPS", "image.format", lambda a: b"%!PS-Adobe-3.0 EPSF"),
    bad_picture("image wrong format: FITS", "image.format", lambda a: b"SIMPLE  =" + bytes(100)),
    bad_picture("image wrong format: SVG", "image.format", lambda a: b"<svg xmlns='x'/>"),
    same_pixels(
        "image CMYK", lambda a: encoded(Image.fromarray(a).convert("CMYK"), "JPEG", quality=95), cmyk_rule
    ),
    same_pixels("image 16-bit", sixteen_bit, sixteen_bit_rule),
    same_pixels("image palette", palette_with_alpha, palette_rule),
    same_pixels("image grey", lambda a: encoded(a[..., 0].copy()), grey),
    same_pixels("image alpha", with_alpha, lambda a, data: a),
    same_pixels("image EXIF", rotated, stored),
    same_pixels("image animated: WebP", animated("WEBP", lossless=True), lambda a, data: a),
    same_pixels("image animated: PNG", animated("PNG"), lambda a, data: a),
    Case("image one pixel", with_picture(lambda a: encoded(a[:1, :1].copy())), "image", "target.invalid"),
    Case("file name: outside the folder", with_values(file_name="../a.png"), "image", "path.escape"),
    Case("file name: NUL", with_values(file_name="a\0.png"), "image", "path.escape"),
    Case("file name: 4000 characters", with_values(file_name="a" * 4000), "image", "image.missing"),
    Case("file name: below a file", with_values(file_name="scene000.png/a"), "image", "image.missing"),
]


def bad_box(name: str, box: list[float], region: str = "invalid") -> Case:
    return Case(f"box {name}", with_box(box), "image", region=region)


BOX_CASES = [
    bad_box("zero-area: width", [10.0, 24.0, 0.0, 20.0]),
    bad_box("zero-area: height", [10.0, 24.0, 15.0, 0.0]),
    bad_box("negative: width", [10.0, 24.0, -5.0, 20.0]),
    bad_box("negative: both", [10.0, 24.0, -5.0, -5.0]),
    bad_box("NaN: x", [math.nan, 24.0, 15.0, 20.0]),
    bad_box("NaN: all", [math.nan] * 4),
    bad_box("infinite: width", [10.0, 24.0, math.inf, 20.0]),
    bad_box("infinite: x", [-math.inf, 24.0, math.inf, 20.0]),
    bad_box("swapped: corners", [25.0, 44.0, -15.0, -20.0]),
    bad_box("partly outside: left and top", [-6.0, -3.0, 20.0, 12.0], "partly_outside"),
    bad_box("partly outside: right", [50.0, 20.0, 30.0, 12.0], "partly_outside"),
    bad_box("partly outside: by a hair", [-9.0, -9.0, 9.001, 9.001], "partly_outside"),
    bad_box("partly outside: on all sides", [-900.0, -900.0, 2000.0, 2000.0], "partly_outside"),
    bad_box("wholly outside: right", [60.0, 5.0, 9.0, 9.0]),
    bad_box("wholly outside: touching", [WIDTH, 5.0, 9.0, 9.0]),
    bad_box("wholly outside: above", [5.0, -20.0, 9.0, 20.0]),
    bad_box("beyond reason: 1e9", [0.0, 0.0, 1e9, 1e9]),
    bad_box("beyond reason: 1e308", [0.0, 0.0, 1.7e308, 1.7e308]),
    bad_box("one pixel", [11.0, 25.0, 1.0, 1.0], "ok"),
    bad_box("one pixel: in the corner", [WIDTH - 1.0, HEIGHT - 1.0, 1.0, 1.0], "ok"),
    bad_box("below one pixel", [11.3, 25.6, 0.2, 0.1], "ok"),
    bad_box("whole image", [0.0, 0.0, WIDTH, HEIGHT], "ok"),
    bad_box("last row", [0.0, HEIGHT - 1.0, WIDTH, 1.0], "ok"),
    Case(
        "box zero-area: the target's",
        with_box([4.0, 5.0, 0.0, 9.0], annotation=0),
        "image",
        "target.invalid",
        aside="first reference",
    ),
    Case(
        "box NaN: the target's",
        with_box([math.nan] * 4, annotation=0),
        "image",
        "target.invalid",
        aside="first reference",
    ),
]

TARGETS = [
    Case("target missing: unknown id", with_target(777), "first reference", "target.missing"),
    Case("target missing: no id", with_target([]), "first reference", "target.missing"),
    Case("no regions: no annotations", with_values(boxes=[], detections=BOXES), "image", "target.missing"),
    Case("no regions: no detections", with_values(detections=[]), "image"),
    Case(
        "no regions: all detections bad",
        with_values(detections=[[9.0, 9.0, 0.0, 1.0], [900.0, 9.0, 5.0, 5.0]]),
        "image",
        "regions.invalid",
        proposals=("detections",),
    ),
    Case("no expressions", with_values(targets=[], sentences=[]), "image"),
    Case("no expressions: empty list", with_values(sentences=[[], []]), "image"),
]

TEXTS = [
    Case("text empty", with_text(""), "first expression", "text.empty"),
    Case("text blank: spaces and tabs", with_text(" \t\n"), "first expression", "text.empty"),
    Case("text blank: ideographic", with_text("\u3000\u2003"), "first expression", "text.empty"),
    Case("text NUL", with_text("red\0one"), "first expression", "text.invalid"),
    Case("text 10 kB", with_text("red " * 2500), "first expression"),
    Case("text emoji", with_text("😀🏳️‍🌈 the red one 👨‍👩‍👧"), "first expression"),
    Case("text right to left", with_text("الشيء الأحمر \u202eon the left"), "first expression"),
    Case("text control characters", with_text("red \x1b[31m one \x07"), "first expression"),
]

CASES = [*PICTURES, *BOX_CASES, *TARGETS, *TEXTS]
