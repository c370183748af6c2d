"""Opening image bytes: what is refused, with which code, and the one rule of decoding."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from operators.pixels.images import ImageError, decode_rgb, decode_row, read_size, to_array

ROOT = Path(__file__).resolve().parents[4]
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
FOUR = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], dtype=np.uint8)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A tiny PNG file whose header promises many pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def code_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_rgb(data)
    assert str(caught.value)
    return caught.value.code


FILES = {
    "JPEG": encoded(Image.fromarray(NOISE), "JPEG"),
    "progressive JPEG": encoded(Image.fromarray(NOISE), "JPEG", progressive=True),
    "PNG": encoded(Image.fromarray(NOISE), "PNG"),
    "WebP": encoded(Image.fromarray(NOISE), "WEBP"),
    "lossless WebP": encoded(Image.fromarray(NOISE), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(name: str) -> None:
    assert read_size(FILES[name]) == (80, 60)
    assert decode_rgb(FILES[name]).mode == "RGB"


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_is_truncated(name: str, percent: int) -> None:
    data = FILES[name]
    assert code_of(data[: len(data) * percent // 100]) == "image.truncated"


def test_half_pictures_never_pass_whatever_another_library_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = FILES["JPEG"]
    assert code_of(data[: len(data) // 2]) == "image.truncated"


def test_empty() -> None:
    assert code_of(b"") == "image.empty"


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"\0" * 100,
        b"hello",
        bytes(random.Random(0).randbytes(500)),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
)
def test_no_picture_at_all(data: bytes) -> None:
    assert code_of(data) == "image.undecodable"


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "BMP", "PDF"])
def test_real_files_of_other_formats_are_refused(file_format: str) -> None:
    data = encoded(Image.fromarray(NOISE), file_format)
    with pytest.raises(ImageError) as caught:
        read_size(data)
    assert caught.value.code == "image.format"
    assert file_format in str(caught.value)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"8BPS\0\1", "PSD"),
        (b"%!PS-Adobe-3.0 EPSF", "EPS"),
        (b"SIMPLE  =", "FITS"),
        (b"<svg xmlns=", "SVG"),
        (b"MM\0*", "TIFF"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "RIFF"),
    ],
)
def test_other_formats_are_named(start: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=name) as caught:
        decode_rgb(start + bytes(100))
    assert caught.value.code == "image.format"


def test_a_damaged_header_is_not_called_cut() -> None:
    damaged = bytearray(FILES["PNG"])
    damaged[20] ^= 0xFF  # a size that contradicts its checksum
    assert code_of(bytes(damaged)) == "image.undecodable"


def test_damaged_pixels() -> None:
    damaged = bytearray(FILES["PNG"])
    damaged[len(damaged) // 2] ^= 0xFF
    assert code_of(bytes(damaged)) == "image.undecodable"


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8_000, 8_000), (50_000_001, 1)])
def test_a_decompression_bomb_is_refused_from_its_header(width: int, height: int) -> None:
    data = png_that_claims(width, height)
    assert code_of(data) == "image.too_large"
    with pytest.raises(ImageError) as caught:
        read_size(data)
    assert caught.value.code == "image.too_large"


def test_a_decompression_bomb_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    code = """
import pathlib, resource, sys
from operators.pixels.images import ImageError, decode_rgb
before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_rgb(pathlib.Path(sys.argv[1]).read_bytes())
except ImageError as problem:
    print(problem.code)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "bomb.png")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert printed[0] == "image.too_large"
    assert int(printed[1]) < 50 * 1024


def test_a_webp_canvas_beyond_the_limit_is_refused() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    canvas = data.index(b"VP8X") + 12
    data[canvas : canvas + 6] = (16_382).to_bytes(3, "little") * 2
    assert code_of(bytes(data)) == "image.too_large"


def test_the_limit_counts_pixels_and_includes_itself() -> None:
    assert read_size(FILES["PNG"], max_pixels=4800) == (80, 60)
    with pytest.raises(ImageError, match="80 x 60 pixels, more than 4799"):
        decode_rgb(FILES["PNG"], max_pixels=4799)


def test_a_strip_is_refused_from_its_header() -> None:
    """A drawing on a strip would scale its short side up, and its long side with it."""
    assert decode_rgb(encoded(Image.new("RGB", (96, 3)), "PNG")).size == (96, 3)
    for size in ((97, 3), (3, 97)):
        assert code_of(encoded(Image.new("RGB", size), "PNG")) == "image.too_thin"


def test_rgb_is_exact() -> None:
    for options in ({"file_format": "PNG"}, {"file_format": "WEBP", "lossless": True}):
        np.testing.assert_array_equal(to_array(decode_rgb(encoded(Image.fromarray(FOUR), **options))), FOUR)


def test_grey() -> None:
    grey = Image.fromarray(np.array([[0, 77], [128, 255]], dtype=np.uint8))
    assert to_array(decode_rgb(encoded(grey, "PNG"))).tolist() == [
        [[0] * 3, [77] * 3],
        [[128] * 3, [255] * 3],
    ]
    assert to_array(decode_rgb(encoded(Image.new("L", (8, 8), 77), "JPEG")))[0, 0].tolist() == [77] * 3
    assert to_array(decode_rgb(encoded(Image.new("1", (2, 2), 1), "PNG")))[0, 0].tolist() == [255] * 3


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 128, 129, 257], [32768, 65278, 65407, 65535]], dtype=np.uint16)
    decoded = to_array(decode_rgb(encoded(Image.fromarray(values), "PNG")))
    assert decoded[..., 0].tolist() == [[0, 0, 1, 1], [128, 254, 255, 255]]
    assert (decoded == decoded[..., :1]).all()


def test_palette_with_transparency_keeps_its_colours() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 30, 40, 5, 6, 7])
    picture.putdata([0, 1])
    decoded = to_array(decode_rgb(encoded(picture, "PNG", transparency=0)))
    assert decoded.tolist() == [[[200, 30, 40], [5, 6, 7]]]


def test_alpha_is_dropped_not_blended() -> None:
    picture = Image.fromarray(np.array([[[200, 30, 40, 0], [5, 6, 7, 128]]], dtype=np.uint8))
    assert to_array(decode_rgb(encoded(picture, "PNG"))).tolist() == [[[200, 30, 40], [5, 6, 7]]]
    grey = Image.fromarray(np.array([[[90, 0], [60, 255]]], dtype=np.uint8), "LA")
    assert to_array(decode_rgb(encoded(grey, "PNG"))).tolist() == [[[90] * 3, [60] * 3]]


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0))],
)
def test_cmyk(cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    data = encoded(Image.new("CMYK", (16, 16), cmyk), "JPEG", quality=100)
    decoded = to_array(decode_rgb(data))
    np.testing.assert_allclose(decoded[8, 8], rgb, atol=2)  # JPEG itself is inexact


def test_exif_rotation_is_not_applied() -> None:
    wide = Image.fromarray(
        np.repeat(np.array([[[250, 0, 0], [0, 0, 250]]], dtype=np.uint8), 16, 1).repeat(16, 0)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(wide, "JPEG", exif=exif, quality=95)
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
    assert read_size(data) == decode_rgb(data).size == (32, 16)
    left, right = to_array(decode_rgb(data))[8, [3, 28]]
    assert left[0] > 200 > 50 > left[2]
    assert right[2] > 200 > 50 > right[0]


@pytest.mark.parametrize("file_format", ["WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(file_format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 10, 20), (10, 250, 20), (1, 2, 250))]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.unique(to_array(decode_rgb(data)).reshape(-1, 3), axis=0).tolist() == [[250, 10, 20]]


def test_an_array_is_a_copy() -> None:
    picture = decode_rgb(FILES["PNG"])
    array = to_array(picture)
    array[:] = 0
    assert to_array(picture).any()


def test_a_row_set_aside_keeps_its_reason() -> None:
    reason = {"stage": "prepare", "code": "image.missing", "message": "cat.jpg is not in images"}
    with pytest.raises(ImageError, match=r"cat\.jpg is not in images") as caught:
        decode_row({"image": FILES["PNG"], "error": reason})
    assert caught.value.code == "image.missing"
    assert decode_row({"image": FILES["PNG"], "error": None}).size == (80, 60)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_random_damage_gives_pixels_or_an_image_error_and_nothing_else(name: str) -> None:
    dice = random.Random(f"seed 0, {name}")
    refused = 0
    for _ in range(200):
        data = bytearray(FILES[name])
        for _ in range(dice.choice([1, 2, 8])):
            data[dice.randrange(dice.choice([64, len(data)]))] = dice.randrange(256)
        try:
            assert decode_rgb(bytes(data)).mode == "RGB"
        except ImageError as problem:
            refused += 1
            codes = ("truncated", "undecodable", "too_large", "too_thin", "format")
            assert problem.code in [f"image.{code}" for code in codes]
    assert refused > 20
