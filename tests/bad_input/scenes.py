"""Small ReCLIP-shaped data sets as plain values, so that a test can spoil one image and leave the others."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 56, 48
BOXES = [[4.0, 5.0, 20.5, 18.0], [28.0, 8.0, 22.0, 25.0], [10.0, 24.0, 15.0, 20.0]]


@dataclass
class Scene:
    """One image with three annotations, of which the first two are referred to twice each.

    Attributes:
        picture: the file's bytes; None for no file.
        detections: None for the annotations' boxes.
    """

    number: int
    file_name: str
    picture: bytes | None
    boxes: list[list[float]] = field(default_factory=lambda: [list(box) for box in BOXES])
    targets: list[object] = field(default_factory=list)
    sentences: list[list[str]] = field(default_factory=list)
    detections: list[list[float]] | None = None


def expression_ids(number: int) -> list[str]:
    """Return the ids of the four expressions of a clean scene."""
    return [f"{number}-{ref}-{k}" for ref in range(2) for k in range(2)]


def pixels(number: int) -> np.ndarray:
    """Return the picture of a scene as an array."""
    noise = np.random.default_rng(number).integers(0, 90, (HEIGHT, WIDTH, 3))
    for k, (x, y, w, h) in enumerate(BOXES):
        noise[int(y) : int(y + h), int(x) : int(x + w), k] += 120
    return noise.astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, file_format: str = "PNG", **options: object) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, file_format, **options)
    return buffer.getvalue()


def scene(number: int) -> Scene:
    """Return a clean scene."""
    return Scene(
        number=number,
        file_name=f"scene{number:03d}.png",
        picture=encoded(pixels(number)),
        targets=[number * 10, number * 10 + 1],
        sentences=[[f"red {number}", "left thing"], ["Green one", f"right {number}"]],
    )


def write(folder: Path, scenes: list[Scene]) -> dict[str, str]:
    """Write pictures, jsonl and detections; returns the options of the preparation."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "reclip").mkdir()
    lines, detections = [], {}
    for s in scenes:
        if s.picture is not None:
            (folder / "images" / f"scene{s.number:03d}.png").write_bytes(s.picture)
        detections[str(s.number)] = s.boxes if s.detections is None else s.detections
        anns = [{"id": s.number * 10 + k, "bbox": box} for k, box in enumerate(s.boxes)]
        for r, (target, texts) in enumerate(zip(s.targets, s.sentences, strict=True)):
            sentences = [{"raw": text, "sent_id": f"{s.number}-{r}-{k}"} for k, text in enumerate(texts)]
            record = {"file_name": s.file_name, "image_id": s.number, "anns": anns}
            record |= {"ref_id": f"scene{s.number}", "ann_id": target, "sentences": sentences}
            lines.append(json.dumps(record))
    (folder / "reclip" / "refcoco_val.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "reclip" / "refcoco_dets_dict.json").write_text(json.dumps(detections))
    return {"images": str(folder / "images"), "reclip": str(folder / "reclip")}
