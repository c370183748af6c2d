"""The pictures of a preview, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from operators.methods.variants import Variant, variant
from operators.pixels.geometry import Boxes
from operators.pixels.masks import BoolMasks
from operators.score.assignment import Pair

if TYPE_CHECKING:
    from operators.encode.encoder import ImageTextModel
    from operators.encode.views import ImageViews
    from operators.pictures.annotate import Pixels

ATTENTION_REGIONS = 12


class Scene(NamedTuple):
    """The image (H, W, 3), N boxes in its pixels, their masks in any resolution, and their views."""

    pixels_HWC: Pixels
    boxes_xyxy: Boxes
    masks_NHW: BoolMasks | None
    views: ImageViews


class Found(NamedTuple):
    """Cosines of V drawings, N regions and M texts (V x N x M), their means (N x M), what they assign, and
    the colours of the texts."""

    similarity_VNM: Boxes
    similarity_NM: Boxes
    pairs: list[Pair]
    colors: list[str]


def drawn_pictures(
    texts: Sequence[str], scene: Scene, drawings: Sequence[Variant], found: Found
) -> Iterator[tuple[str, str, Pixels]]:
    """Yield name, meaning and pixels of every picture."""
    from operators.pictures.annotate import candidates_picture, result_picture
    from operators.pictures.gallery import drawing_sheet

    regions = scene.boxes_xyxy, scene.masks_NHW
    yield "candidates.png", "every region", candidates_picture(scene.pixels_HWC, *regions)
    for number, (drawing, similarity_NM, shown_texts) in enumerate(_sheets(texts, drawings, found), 1):
        name = "".join(c if c.isalnum() else "_" for c in drawing.code)
        sheet = drawing_sheet(drawing.code, scene.views.pictures(drawing), similarity_NM, shown_texts)
        yield f"drawing-{number}-{name}.png", f"{drawing.code} as CLIP sees every region", sheet
    captions = list(texts)
    for pair in found.pairs:
        captions[pair.text] += f" · {found.similarity_NM[pair]:.3f}"
    result = result_picture(scene.pixels_HWC, *regions, found.pairs, captions)
    yield "result.png", "the assigned regions", result


def _sheets(
    texts: Sequence[str], drawings: Sequence[Variant], found: Found
) -> Iterator[tuple[Variant, Boxes, Sequence[str]]]:
    """Yield what each sheet shows: a drawing, similarities and texts; of a drawing in the colour of the text
    one for each text."""
    for drawing, similarity_NM in zip(drawings, found.similarity_VNM, strict=True):
        if not drawing.colored_by_text:
            yield drawing, similarity_NM, texts
            continue
        for number, (text, color) in enumerate(zip(texts, found.colors, strict=True)):
            yield drawing.in_color(color), similarity_NM[:, [number]], [text]


def attention_picture(scene: Scene, drawings: Sequence[Variant], model: ImageTextModel) -> Pixels:
    """Draw the attention of drawings with a mask that are the same for all texts; first regions only."""
    from operators.pictures.attention_maps import attention_pictures, attention_sheet, has_mask

    drawings = [drawing for drawing in drawings if has_mask(drawing) and not drawing.colored_by_text]
    found = [attention_pictures(model, scene.views, drawing, ATTENTION_REGIONS) for drawing in drawings]
    return attention_sheet({drawing.code: of for drawing, of in zip(drawings, found, strict=True)})


def gallery_picture(scene: Scene) -> Pixels:
    """Draw the taxonomy on the one region of a scene."""
    from operators.pictures.gallery import NAMES, taxonomy_figure

    return taxonomy_figure({code: scene.views.pictures(variant(code))[0] for code in NAMES})


def to_xywh(boxes_xyxy: Boxes) -> Boxes:
    """Convert N x 4 boxes from corners to (left, top, width, height)."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def png(picture_HWC: Pixels) -> bytes:
    """Encode a picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture_HWC).save(buffer, "PNG")
    return buffer.getvalue()
