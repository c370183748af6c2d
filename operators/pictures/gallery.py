"""Sheets of labelled pictures, and the taxonomy of visual prompts as one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from operators.pictures.annotate import COLORS, WHITE, Pixels, Plate, caption_font, region_color, shortened
from operators.prompts.colors import Color

# Codes and names as the taxonomy figure prints them (visual_prompts spec section 1). Row A has two drawings;
# what needs no drawing fills it up.
ROWS: tuple[dict[str, str], ...] = (
    {"A1": "Keypoint", "A2": "Colorful Crop", "P": "Crop", "I": "Raw image"},
    {"B1": "Box", "B2": "Colorful Box", "B3": "Grayscale Reverse Box", "B4": "Blur Reverse Box"},
    {"C1": "Circle", "C2": "Colorful Circle", "C3": "Grayscale Reverse Circle", "C4": "Blur Reverse Circle"},
    {"D1": "Contour", "D2": "Colorful Mask", "D3": "Grayscale Reverse Mask", "D4": "Blur Reverse Mask"},
)
NAMES = {code: name for row in ROWS for code, name in row.items()}
INK: Color = (33, 37, 41)
CARD: Color = (241, 243, 245)
PANEL_PX = 340


class Cell(NamedTuple):
    """A picture of a sheet, uint8 RGB, with a short badge (a number, a code) and a label below it."""

    picture_HWC: Pixels
    badge: str
    label: str
    color: Color


def contact_sheet(
    cells: Sequence[Cell], *, title: str = "", columns: int = 5, cell_wh_px: tuple[int, int] = (260, 260)
) -> Pixels:
    """Lay pictures out in rows, each fitted into a cell with its badge and label below.

    Args:
        cells: the pictures, of any sizes; not changed.
        title: printed above; may be empty.
        columns: pictures in a full row.
        cell_wh_px: greatest width and height of a fitted picture, pixels; a row is as high as its highest.

    Returns:
        uint8 RGB on white.
    """
    cell_px, gap_px = cell_wh_px[0], cell_wh_px[0] // 18
    label_px, title_px = cell_px // 8, cell_px // 6 if title else 0
    fitted = [(cell, _fitted(cell.picture_HWC, cell_wh_px)) for cell in cells]
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    heights = [max(picture.height for _, picture in row) for row in rows]
    sheet_px = (
        gap_px + max(1, min(columns, len(cells))) * (cell_px + gap_px),
        gap_px + title_px + sum(height + label_px + gap_px for height in heights),
    )
    sheet = Image.new("RGB", sheet_px, WHITE)
    draw, top = ImageDraw.Draw(sheet), gap_px + title_px
    title_font, label_font = caption_font(cell_px / 13), caption_font(cell_px / 17)
    title = shortened(title, title_font, sheet_px[0] - 2 * gap_px)
    draw.text((gap_px, (gap_px + title_px) / 2), title, INK, title_font, anchor="lm")
    for row, height in zip(rows, heights, strict=True):
        for column, (cell, picture) in enumerate(row):
            left, bottom = gap_px + column * (cell_px + gap_px), top + height
            draw.rectangle((left, top, left + cell_px - 1, bottom - 1), CARD)
            sheet.paste(
                picture, (left + (cell_px - picture.width) // 2, top + (height - picture.height) // 2)
            )
            _draw_label(draw, cell, label_font, (left, bottom, left + cell_px, bottom + label_px))
        top += height + label_px + gap_px
    return np.array(sheet)


def drawing_sheet(
    code: str, pictures: Sequence[Pixels], similarity_NM: NDArray[np.float64], texts: Sequence[str]
) -> Pixels:
    """Show what the encoder was shown of N regions, each with the most similar of M texts.

    Args:
        code: of the drawing.
        pictures: N uint8 RGB pictures.
        similarity_NM: under this drawing alone.
        texts: the M texts.

    Returns:
        uint8 RGB.
    """
    cells = []
    for index, (picture, row) in enumerate(zip(pictures, similarity_NM, strict=True)):
        nearest = int(row.argmax())
        label = f"{row[nearest]:.3f}  {texts[nearest]}"
        cells.append(Cell(picture, str(index), label, region_color(index)))
    title = f"{code}  {NAMES.get(code, '')}".rstrip() + ": the most similar text of every region"
    return contact_sheet(cells, title=title)


def taxonomy_figure(pictures: Mapping[str, Pixels]) -> Pixels:
    """Lay pictures out as the taxonomy: rows A to D, columns 1 to 4, beside the crop and the original.

    Args:
        pictures: uint8 RGB for every code of `NAMES`, all of the same region.

    Returns:
        uint8 RGB.

    Raises:
        KeyError: if the picture of a code is missing.
    """
    height, width = pictures["I"].shape[:2]
    panel_px = PANEL_PX, round(PANEL_PX * min(1.5, max(0.5, height / width)))
    cells = [
        Cell(pictures[code], code, name, COLORS[index])
        for index, row in enumerate(ROWS)
        for code, name in row.items()
    ]
    return contact_sheet(cells, columns=len(ROWS[0]), cell_wh_px=panel_px)


def _fitted(picture_HWC: Pixels, size_wh_px: tuple[int, int]) -> Image.Image:
    """Resize a picture so that it just fits."""
    height, width = picture_HWC.shape[:2]
    scale = min(size_wh_px[0] / width, size_wh_px[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(picture_HWC).resize(size, Image.Resampling.LANCZOS)


def _draw_label(draw: ImageDraw.ImageDraw, cell: Cell, font: ImageFont.FreeTypeFont, place: Plate) -> None:
    """Write badge and label in one line."""
    x1, y1, x2, y2 = place
    pad, middle = font.size / 2, (y1 + y2) / 2
    right = x1 + font.getlength(cell.badge) + 2 * pad
    draw.rounded_rectangle(
        (x1, middle - font.size * 0.7, right, middle + font.size * 0.7), pad / 2, cell.color
    )
    draw.text(((x1 + right) / 2, middle), cell.badge, WHITE, font, anchor="mm")
    label = shortened(cell.label, font, x2 - right - pad)
    draw.text((right + pad, middle), label, INK, font, anchor="lm")
