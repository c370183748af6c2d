"""The palette of the published prompts and how colours are written in configurations."""

from __future__ import annotations

import hashlib

Color = tuple[int, int, int]

PALETTE: dict[str, Color] = {
    "red": (255, 0, 0),
    "cpt_red": (240, 0, 30),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (124, 116, 104),
}


RANDOM = "random"
# The colour of a caption (`operators.prompts.text_color`), an extension: `Variant.in_color` puts it in.
TEXT = "text"


def parse_color(text: str) -> Color:
    """Return the RGB triple of a palette name or of "r,g,b" with values 0..255.

    Source: visual_prompts spec section 1.

    Raises:
        ValueError: if `text` is neither.
    """
    if text in PALETTE:
        return PALETTE[text]
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 3 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        red, green, blue = (int(part) for part in parts)
        return red, green, blue
    if text == TEXT:
        raise ValueError("the colour of a text is known with the text only; see operators.prompts.text_color")
    known = f'"r,g,b", "{RANDOM}", "{RANDOM}:seed", "{TEXT}" or one of {", ".join(PALETTE)}'
    raise ValueError(f"unknown color {text!r}; use {known}")


def random_seed(text: str) -> int | None:
    """Return the seed of "random" (0) or "random:7", None for every other colour."""
    mode, _, seed = text.partition(":")
    is_number = seed.isascii() and seed.isdigit()
    return int(seed or 0) if mode == RANDOM and (text == RANDOM or is_number) else None


def random_color(seed: int, key: str) -> Color:
    """Return the colour of a region in mode `random`: three bytes of a hash, the same on every machine.

    Source: visual_prompts spec section 12; an extension, in no published row. Picture and region go by
    content there and here, not by number, so that other data sets and orders give the same colour.

    Args:
        seed: chosen by the user.
        key: what identifies picture and region.
    """
    red, green, blue = hashlib.sha256(f"{seed} {key}".encode()).digest()[:3]
    return red, green, blue


def check_color(text: str) -> None:
    """Raise ValueError if `text` is no colour in any mode."""
    if text != TEXT and random_seed(text) is None:
        parse_color(text)
