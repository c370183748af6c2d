"""Draws a RefCOCO-shaped data set: pictures, REFER pickles, ReCLIP jsonl and detections that agree."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {"red": (220, 40, 40), "green": (40, 190, 60), "blue": (50, 70, 220), "yellow": (230, 210, 40)}
PICKLES = {"refcoco": "refs(unc).p", "refcocog": "refs(umd).p"}
SPLITS = {"refcoco": ["val", "testA"], "refcocog": ["val"]}
IMAGES = 6


def write(folder: Path, images: int = IMAGES, seed: int = 0, scale: int = 1) -> Path:
    """Write the set and return its folder: images/, refer/<dataset>/, reclip/. `scale` enlarges all of it."""
    random = np.random.default_rng(seed)
    scenes = [_scene(random, 1000 + i, scale) for i in range(images)]
    (folder / "images").mkdir(parents=True)
    (folder / "reclip").mkdir()
    for scene in scenes:
        _draw(scene).save(folder / "images" / scene["file_name"], quality=95)
    for dataset in PICKLES:
        _write_dataset(folder, dataset, scenes)
    return folder


def _scene(random: np.random.Generator, image_id: int, scale: int) -> dict:
    width, height = scale * int(random.integers(90, 160)), scale * int(random.integers(80, 130))
    annotations = []
    for k in range(int(random.integers(2, 5))):
        w, h = (scale * random.uniform(12, 50, 2)).round(2)
        x, y = (random.uniform(0, 1, 2) * [width - w, height - h]).round(2)
        colour = list(COLOURS)[int(random.integers(4))]
        box = [float(v) for v in (x, y, w, h)]
        outline = _segmentation(k, box, (width, height))
        annotations.append(
            {
                "id": image_id * 10 + k,
                "bbox": box,
                "colour": colour,
                "image_id": image_id,
                "segmentation": outline,
            }
        )
    name = f"COCO_train2014_{image_id:012d}.jpg"
    background = random.integers(100, 160, (height, width, 3)).astype(np.uint8)
    boxes = [[round(v + float(random.uniform(-3, 3)), 2) for v in a["bbox"]] for a in annotations]
    # Awkward on purpose: no area, over the border, outside, a repetition; every third image has none.
    boxes += [[5.0, 5.0, 0.0, 9.0], [-4.5, -3.0, 20.0, 18.0], [500.0, 5.0, 9.0, 9.0], boxes[0]]
    return {
        "image_id": image_id,
        "file_name": name,
        "width": width,
        "height": height,
        "annotations": annotations,
        "background": background,
        "detections": [] if image_id % 3 == 0 else boxes,
    }


def _segmentation(number: int, box_xywh: list[float], size_wh: tuple[int, int]) -> list | dict:
    """Outline the ellipse in a box as COCO does: polygons, run lengths (the second), nothing (the fourth)."""
    x, y, w, h = box_xywh
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    polygon = np.stack([x + w / 2 * (1 + np.cos(angles)), y + h / 2 * (1 + np.sin(angles))], axis=1)
    if number == 1:
        picture = Image.new("1", size_wh)
        ImageDraw.Draw(picture).polygon([tuple(point) for point in polygon], fill=1)
        columns = np.asarray(picture).T.ravel()
        edges = np.flatnonzero(np.diff(columns, prepend=False, append=not columns[-1]))
        return {"size": [size_wh[1], size_wh[0]], "counts": np.diff(edges, prepend=0).tolist()}
    return [] if number == 3 else [polygon.round(2).ravel().tolist()]


def _draw(scene: dict) -> Image.Image:
    image = Image.fromarray(scene["background"])
    pen = ImageDraw.Draw(image)
    for annotation in scene["annotations"]:
        x, y, w, h = annotation["bbox"]
        pen.ellipse((x, y, x + w, y + h), fill=COLOURS[annotation["colour"]])
    return image


def _write_dataset(folder: Path, dataset: str, scenes: list[dict]) -> None:
    refs, sentence_id = [], 0
    for number, scene in enumerate(scenes):
        split = SPLITS[dataset][number % len(SPLITS[dataset])]
        for annotation in scene["annotations"]:
            texts = [f"The {annotation['colour']} blob", f"blob {sentence_id % 4} {annotation['colour']}"]
            refs.append(_ref(scene, annotation, split, texts, len(refs), sentence_id))
            sentence_id += len(texts)
    home = folder / "refer" / dataset
    home.mkdir(parents=True)
    annotations = [_plain(a) for scene in scenes for a in scene["annotations"]]
    images = [{"id": s["image_id"], "file_name": s["file_name"]} for s in scenes]
    (home / "instances.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    (home / PICKLES[dataset]).write_bytes(pickle.dumps(refs, protocol=2))
    by_image = {s["image_id"]: [_plain(a) for a in s["annotations"]] for s in scenes}
    for split in SPLITS[dataset]:
        lines = [json.dumps({**r, "anns": by_image[r["image_id"]]}) for r in refs if r["split"] == split]
        (folder / "reclip" / f"{dataset}_{split.lower()}.jsonl").write_text("\n".join(lines) + "\n")
    detections = {str(s["image_id"]): s["detections"] for s in scenes if s["detections"]}
    (folder / "reclip" / f"{dataset}_dets_dict.json").write_text(json.dumps(detections))


def _plain(annotation: dict) -> dict:
    return {key: annotation[key] for key in ("id", "bbox", "image_id", "segmentation")}


def _ref(
    scene: dict, annotation: dict, split: str, texts: list[str], ref_id: int, first_sentence: int
) -> dict:
    stem = scene["file_name"].removesuffix(".jpg")
    sentences = [{"raw": text, "sent_id": first_sentence + k} for k, text in enumerate(texts)]
    return {
        "ref_id": ref_id,
        "ann_id": annotation["id"],
        "image_id": scene["image_id"],
        "file_name": f"{stem}_{annotation['id']}.jpg",
        "split": split,
        "sentences": sentences,
    }
