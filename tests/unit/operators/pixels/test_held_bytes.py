"""Bytes that installed libraries decide: decoders and polygon filling, held to what every version gave.

The pictures in `data/` were drawn and encoded for this test; Pillow 9.5, 12.3 and 13.0 decode them alike.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from operators.pixels.images import decode_rgb, to_array
from operators.pixels.masks import decode_masks, mask_of_segmentation

DATA = Path(__file__).parent / "data"
DECODED = {
    "cmyk.jpg": "1ad1cf3bbce9bf937d01e0da64d7eca04b48e66cb5fa0f865dfcc0226330ed94",
    "gray.jpg": "2a4bcd9749c36cdb6ecae2327bcbafe7990c4639f12603548ed4d4e42bff01bf",
    "lossy.webp": "4ca6c631997f2abd749ad77778b8ec9d2aa0e3341969d92eb6e9dc1283d9068a",
    "palette.png": "ee48f920a996ced0e702e1a8ff145e18408ecc5ee5a659c5c2369152aca04c64",
    "progressive.jpg": "406953832d4b71e7daae91950045e3c5c6c981096a1db9cd277bc11c0e7b768d",
    "subsampled.jpg": "9ab8b89c496cac7a088e1d0a1fd1024e691160b4542ceffddebd32a8af6504a6",
    "turned.jpg": "56f650c8c5c12d8ff7053a9e7725f5a955cdedb08b8df7bd07f30d8dc1ef345c",
}
POLYGON = [3.2, 4.9, 40.5, 1.1, 55.0, 30.3, 20.7, 38.0, 12.4, 22.6, 2.0, 30.0]
FILLED = "52610834433961d4242899ac438b329c89817a9767ad5c712a61c65ea27c7afa"


@pytest.mark.parametrize("name", DECODED)
def test_pictures_decode_to_the_same_bytes(name: str) -> None:
    image_HWC = to_array(decode_rgb((DATA / name).read_bytes()))
    assert image_HWC.shape == (61, 97, 3)
    assert hashlib.sha256(image_HWC.tobytes()).hexdigest() == DECODED[name]


def test_every_picture_of_the_folder_is_held() -> None:
    assert {path.name for path in DATA.iterdir()} == set(DECODED)


def test_polygons_fill_the_same_pixels() -> None:
    mask_HW = decode_masks([mask_of_segmentation([POLYGON], (48, 64))], (48, 64))[0]
    assert hashlib.sha256(mask_HW.tobytes()).hexdigest() == FILLED
