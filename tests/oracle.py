"""An independent, straight-line implementation of the scores: one image at a time, nothing of the project.

It reads ReCLIP's files directly, draws with Pillow, and runs open_clip's own functions on full-length tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms.functional import normalize, to_tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


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
        self.tokenize = open_clip.get_tokenizer("ViT-B-32")
        size = self.model.visual.image_size
        self.side = size[0] if isinstance(size, tuple) else size

    @torch.no_grad()
    def images(self, pictures: list[Image.Image]) -> torch.Tensor:
        """Return the unit features of pictures."""
        squashed = [p.resize((self.side, self.side), Image.BICUBIC) for p in pictures]
        pixels = torch.stack([normalize(to_tensor(p), MEAN, STD) for p in squashed])
        return self.model.encode_image(pixels, normalize=True)

    @torch.no_grad()
    def logits(self, images: torch.Tensor, caption: str) -> torch.Tensor:
        """Return the scaled cosine of a caption with every picture's features."""
        texts = self.model.encode_text(self.tokenize([caption]), normalize=True)
        return (self.model.logit_scale.exp() * images @ texts.T)[:, 0]


def pictures_of(drawing: str, image: Image.Image, boxes: list[list[float]]) -> list[Image.Image]:
    """Draw the crop (P) or the raw image (I) for each box."""
    if drawing == "I":
        return [image] * len(boxes)
    crops = []
    for x, y, w, h in boxes:
        left, top = max(0.0, x), max(0.0, y)
        right, bottom = min(float(image.width), x + w), min(float(image.height), y + h)
        crops.append(image.crop((round(left), round(top), round(right), round(bottom))))
    return crops


def usable(box: list[float], image: Image.Image) -> bool:
    """Say whether a box has area and touches the image."""
    x, y, w, h = box
    return w > 0 and h > 0 and x < image.width and y < image.height and x + w > 0 and y + h > 0


def probabilities(
    annotations: Path,
    images: Path,
    splits: list[tuple[str, str]],
    method: str,
    clips: list[Clip],
    proposals: str,
) -> dict[tuple[str, str], list[float]]:
    """Return the distribution over candidates by (dataset, sentence id)."""
    answers: dict[tuple[str, str], list[float]] = {}
    for dataset, split in splits:
        detections = json.loads((annotations / f"{dataset}_dets_dict.json").read_text())
        for line in (annotations / f"{dataset}_{split.lower()}.jsonl").read_text().splitlines():
            ref = json.loads(line)
            image = Image.open(images / (ref["file_name"].rsplit("_", 1)[0] + ".jpg")).convert("RGB")
            if proposals == "gold":
                boxes = [annotation["bbox"] for annotation in ref["anns"]]
            else:
                boxes = detections.get(str(ref["image_id"]), [[0.0, 0.0, image.width, image.height]])
            kept = [i for i, box in enumerate(boxes) if usable(box, image)]
            features = []
            for drawing in method.split("|") if method != "first-box" else []:
                pictures = pictures_of(drawing, image, [boxes[i] for i in kept])
                features += [(clip, clip.images(pictures)) for clip in clips]
            for sentence in ref["sentences"]:
                caption = "a photo of " + sentence["raw"].lower()
                total = torch.zeros(len(kept))
                for clip, images_of_clip in features:
                    total = total + clip.logits(images_of_clip, caption)
                distribution = [0.0] * len(boxes)
                for i, p in zip(kept, torch.softmax(total, 0).tolist(), strict=True):
                    distribution[i] = p
                answers[dataset, str(sentence["sent_id"])] = distribution
    return answers
