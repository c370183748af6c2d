"""The palette of the published prompts and how colours are written in configurations."""

from __future__ import annotations

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
    raise ValueError(f'unknown color {text!r}; use "r,g,b" or one of {", ".join(PALETTE)}')
