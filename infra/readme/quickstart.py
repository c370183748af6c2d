"""Puts the quickstart's results into README.md: its table between two marks, and pictures of the drawings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from infra.readme.marks import Marks
from infra.run.record import read_run
from infra.weights.segmenters import resolve_segmenter
from infra.weights.sources import local_file
from operators.datasets.scenes.dataset import make_scene
from operators.encode.views import ImageViews
from operators.methods.variants import variant
from operators.pictures.gallery import NAMES, Cell, contact_sheet, taxonomy_figure
from operators.pixels.geometry import xywh_to_xyxy
from operators.tables.accuracy import group_seeds, markdown_table
from operators.tables.metrics import count_predictions

MARKS = Marks("<!-- quickstart table: written by make readme -->", "<!-- end of the quickstart table -->")
PICTURES = "pipelines/pictures"
SHOWN = "val"
STRIP = ("I", "P", "C1", "D4")
# A scene, and a thing of it whose mask differs from its box and its ellipse.
SCENE_SEED, SCENE_NUMBER, THING = 0, 12, 1
INK = (33, 37, 41)


def readme_table(run: str) -> str:
    """Return the table of a finished quickstart, the columns of the val splits only."""
    finished = read_run(run)
    counted = [
        (product, count_predictions(finished.predictions(folder).values()))
        for folder, product in finished.plan.predictions.items()
    ]
    return markdown_table(
        group_seeds(counted, finished.plan.bank_sizes), [s for s in finished.splits if s[1] == SHOWN]
    )


def write_readme(folder: str, run: str) -> None:
    """Replace the table in a checkout's README.md and its pictures.

    Args:
        folder: of the checkout.
        run: folder of the finished quickstart.
    """
    file = Path(folder, "README.md")
    text = MARKS.replaced(file.read_text(encoding="utf-8"), readme_table(run))
    file.write_text(text, encoding="utf-8")
    pictures = Path(folder, PICTURES)
    pictures.mkdir(exist_ok=True)
    for name, picture in draw_pictures().items():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", optimize=True)
        (pictures / name).write_bytes(buffer.getvalue())
        print(f"picture: {pictures / name}")


def draw_pictures() -> dict[str, np.ndarray]:
    """Draw the strip of prompts and the taxonomy on one scene, with masks of the bundled SAM."""
    from operators.segment.segmenter import load_segmenter

    scene = make_scene(SCENE_SEED, SHOWN, SCENE_NUMBER)
    segmenter = resolve_segmenter("sam-shapes")
    sam = load_segmenter(segmenter, local_file(segmenter.weights), "cpu")
    boxes_xywh = np.array(scene.boxes_xywh)
    masks_NHW = sam.segment(scene.image_HWC, xywh_to_xyxy(boxes_xywh))
    image = Image.fromarray(scene.image_HWC)
    drawn = ImageViews(image, boxes_xywh, masks_of=lambda _: masks_NHW, frame_px=segmenter.frame_px)
    of_code = {code: drawn.pictures(variant(code)) for code in NAMES}
    cells = [
        Cell(of_code[code][region], code, NAMES[code], INK)
        for code in STRIP
        for region in range(len(boxes_xywh))
    ]
    strip = contact_sheet(cells, columns=len(boxes_xywh), cell_wh_px=(200, 200))
    return {"strip.png": strip, "gallery.png": taxonomy_figure({c: p[THING] for c, p in of_code.items()})}
