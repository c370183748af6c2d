"""An independent, straight-line implementation of the scores: one image at a time, nothing of the project.

It reads ReCLIP's files directly, draws with Pillow and OpenCV as the reference programs do, and runs
open_clip's and segment-anything's own modules.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import open_clip
import tiny_models
import torch
import torch.nn.functional as F
from oracle_relations import related
from PIL import Image, ImageFilter
from safetensors.torch import load_file
from segment_anything.utils.amg import remove_small_regions
from torchvision.transforms.functional import normalize, to_tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RED, SHORT_SIDE, SIGMA, MIN_AREA = (255, 0, 0), 384, 100, 400
Boxes = list[list[float]]


class Clip:
    """A model read from a folder or a checkpoint of a named architecture."""

    def __init__(self, source: str, architecture: str | None = None) -> None:
        if architecture:
            self.model, weights = open_clip.create_model(architecture), source
        else:
            config = json.loads(Path(source, "open_clip_config.json").read_text())["model_cfg"]
            self.model, weights = open_clip.CLIP(**config), str(Path(source, "open_clip_model.safetensors"))
        self.model.load_state_dict(load_file(weights))
        self.model.eval()
        self.seen: dict[str, torch.Tensor] = {}
        self.shown: dict[tuple, torch.Tensor] = {}
        self.tokenize = open_clip.get_tokenizer("ViT-B-32")
        size = self.model.visual.image_size
        self.side = size[0] if isinstance(size, tuple) else size

    @torch.no_grad()
    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return unit features of model inputs."""
        return self.model.encode_image(pixels, normalize=True)

    @torch.no_grad()
    def texts(self, captions: list[str]) -> torch.Tensor:
        """Return unit features of captions, encoded one at a time at full length and remembered."""
        for caption in captions:
            if caption not in self.seen:
                self.seen[caption] = self.model.encode_text(self.tokenize([caption]), normalize=True)
        return torch.cat([self.seen[caption] for caption in captions])


class Sam:
    """The tiny SAM, prompted with one box at a time."""

    def __init__(self, folder: str) -> None:
        self.sam = tiny_models.build_sam()
        self.sam.load_state_dict(load_file(str(Path(folder, "sam_model.safetensors"))))
        self.side = tiny_models.SAM["image_size"]

    def frame(self, image: Image.Image) -> Image.Image:
        """Resize an image to the frame that masks live in."""
        scale = self.side / max(image.size)
        return image.resize(
            (int(image.width * scale + 0.5), int(image.height * scale + 0.5)), Image.Resampling.BILINEAR
        )

    @torch.no_grad()
    def masks(self, image: Image.Image, boxes: Boxes) -> list[np.ndarray]:
        """Return one boolean mask a box, in the frame."""
        frame = self.frame(image)
        pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float()
        embedding = self.sam.image_encoder(self.sam.preprocess(pixels))
        masks = []
        for box in scaled(boxes, image.size, frame.size):
            corners = torch.from_numpy(box)[None, None]
            sparse, dense = self.sam.prompt_encoder(points=None, boxes=corners, masks=None)
            low, _ = self.sam.mask_decoder(
                embedding, self.sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=False
            )
            full = F.interpolate(low, (self.side, self.side), mode="bilinear", align_corners=False)
            mask = full[0, 0, : frame.height, : frame.width].numpy() > 0
            mask, _ = remove_small_regions(mask, MIN_AREA, mode="holes")
            masks.append(remove_small_regions(mask, MIN_AREA, mode="islands")[0])
        return masks


def scaled(boxes: Boxes, old: tuple[int, int], new: tuple[int, int]) -> list[np.ndarray]:
    """Scale x, y, w, h boxes to corners in another picture size, in float32."""
    factors = np.float32([new[0] / old[0], new[1] / old[1]] * 2)
    return [np.float32([x, y, x + w, y + h]) * factors for x, y, w, h in boxes]


def model_inputs(drawing: str, image: Image.Image, boxes: Boxes, side: int, sam: Sam | None) -> torch.Tensor:
    """Draw a code for each box and make the model's input of it."""
    if drawing in ("P", "I"):
        pictures = [crop(image, box) if drawing == "P" else image for box in boxes]
        squashed = [p.resize((side, side), Image.Resampling.BICUBIC) for p in pictures]
        return torch.stack([normalize(to_tensor(p), MEAN, STD) for p in squashed])
    pictures = canvases(drawing, image, boxes, sam)
    pixels = torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() for p in pictures])
    mean, std = (torch.tensor(v)[:, None, None] * 255 for v in (MEAN, STD))
    pixels = (pixels - mean) / std
    pixels = F.interpolate(pixels, (SHORT_SIDE, SHORT_SIDE), mode="bilinear", align_corners=False)
    return F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)


def crop(image: Image.Image, box: list[float]) -> Image.Image:
    x, y, w, h = box
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(float(image.width), x + w), min(float(image.height), y + h)
    return image.crop((round(left), round(top), round(right), round(bottom)))


def canvases(drawing: str, image: Image.Image, boxes: Boxes, sam: Sam | None) -> list[np.ndarray]:
    """Draw FGVP's C1, D1, D3 or D4 for each box."""
    start = sam.frame(image) if drawing.startswith("D") else image
    scale = SHORT_SIDE / min(start.size)
    size = (int(start.width * scale + 0.5), int(start.height * scale + 0.5))
    canvas = start if start.size == size else start.resize(size, Image.Resampling.BILINEAR)
    sharp = np.array(canvas)
    corners = scaled(boxes, image.size, start.size) if start is not image else scaled(boxes, (1, 1), (1, 1))
    masks = sam.masks(image, boxes) if drawing.startswith("D") else [None] * len(boxes)
    pictures = []
    for box, mask in zip(corners, masks, strict=True):
        if drawing == "C1":
            box = box * np.float32([size[0] / start.width, size[1] / start.height] * 2)
            box = np.clip(box, 0, np.float32([size[0] - 1, size[1] - 1] * 2))
            x1, y1, x2, y2 = box
            center = (int(x1 + 0.5 * (x2 - x1)), int(y1 + 0.5 * (y2 - y1)))
            axes = (int((x2 - x1) / 2), int((y2 - y1) / 2))
            pictures.append(cv2.ellipse(sharp.copy(), center, axes, 0, 0, 360, RED, 2))
            continue
        float_mask = torch.from_numpy(mask)[None, None].float()
        inside = F.interpolate(float_mask, size[::-1], mode="bilinear", align_corners=False)[0, 0].numpy() > 0
        if drawing == "D1":
            contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            pictures.append(cv2.drawContours(sharp.copy(), contours, -1, RED, 2))
        elif drawing == "D3":
            grey = cv2.cvtColor(sharp, cv2.COLOR_BGR2GRAY)
            pictures.append(np.where(inside[..., None], sharp, grey[..., None]))
        else:
            picture = canvas.filter(ImageFilter.GaussianBlur(SIGMA))
            picture.paste(canvas, mask=Image.fromarray(inside))
            pictures.append(np.array(picture))
    return pictures


def usable(box: list[float], image: Image.Image) -> bool:
    """Say whether a box has area and touches the image."""
    x, y, w, h = box
    return w > 0 and h > 0 and x < image.width and y < image.height and x + w > 0 and y + h > 0


def negatives(seed: int, dataset: str, split: str, sentence_id: str, bank: int) -> list[int]:
    """Draw the captions of S as documented: legacy generator keyed by the SHA-256 of a JSON list."""
    key = json.dumps([seed, dataset, split, sentence_id], separators=(",", ":"))
    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype=np.uint32)
    return list(np.random.RandomState(words).permutation(bank)[:500])


def score(
    features: list[tuple[Clip, torch.Tensor, torch.Tensor]], drawn: list[int] | None, boxes: int, phrase: str
) -> np.ndarray:
    """Add up a phrase's scores of the boxes; `features` holds a model, its images and its whole bank."""
    total = torch.zeros(boxes)
    for clip, scaled_images, bank in features:
        one = scaled_images @ clip.texts(["a photo of " + phrase])[0]
        if drawn is not None:
            one = one - (scaled_images @ bank[drawn].T).mean(1)
        total = total + one.detach()
    return total.numpy()


def probabilities(
    annotations: Path,
    images: Path,
    splits: list[tuple[str, str]],
    method: str,
    clips: list[Clip],
    proposals: str,
    sam: Sam | None = None,
    seed: int = 0,
    parses: dict[str, dict] | None = None,
) -> dict[tuple[str, str], list[float]]:
    """Return the distribution over candidates by (dataset, sentence id); R looks up parses by text."""
    drawings, _, post_processing = method.partition(",")
    answers: dict[tuple[str, str], list[float]] = {}
    for dataset, split in splits:
        detections = json.loads((annotations / f"{dataset}_dets_dict.json").read_text())
        refs = [
            json.loads(line)
            for line in (annotations / f"{dataset}_{split.lower()}.jsonl").read_text().splitlines()
        ]
        bank = ["a photo of " + s["raw"].lower() for ref in refs for s in ref["sentences"]]
        texts = [clip.texts(bank) for clip in clips]
        for ref in refs:
            image = Image.open(images / (ref["file_name"].rsplit("_", 1)[0] + ".jpg")).convert("RGB")
            if proposals == "gold":
                boxes = [annotation["bbox"] for annotation in ref["anns"]]
            else:
                boxes = detections.get(str(ref["image_id"]), [[0.0, 0.0, image.width, image.height]])
            kept = [i for i, box in enumerate(boxes) if usable(box, image)]
            features = []
            for drawing in drawings.split("|") if drawings != "first-box" else []:
                for clip, text in zip(clips, texts, strict=True):
                    what = (drawing, ref["file_name"].rsplit("_", 1)[0], tuple(tuple(boxes[i]) for i in kept))
                    if what not in clip.shown:  # remembered: many methods and sentences ask for the same
                        pixels = model_inputs(drawing, image, [boxes[i] for i in kept], clip.side, sam)
                        clip.shown[what] = clip.images(pixels)
                    features.append((clip, clip.model.logit_scale.exp() * clip.shown[what], text))
            for sentence in ref["sentences"]:
                name, text = str(sentence["sent_id"]), sentence["raw"].lower()
                drawn = negatives(seed, dataset, split, name, len(bank)) if "S" in post_processing else None
                scored = partial(score, features, drawn, len(kept))
                if "R" in post_processing:
                    found = related(parses[text], text, [boxes[i] for i in kept], scored)
                else:
                    found = torch.softmax(torch.from_numpy(scored(text)), 0).numpy()
                distribution = [0.0] * len(boxes)
                for i, p in zip(kept, found.tolist(), strict=True):
                    distribution[i] = p
                answers[dataset, name] = distribution
    return answers
