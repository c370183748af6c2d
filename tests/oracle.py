"""An independent, straight-line implementation of the scores: one image at a time, nothing of the project.

It reads ReCLIP's files directly, draws as the reference programs do (`oracle_drawings`), and runs open_clip's
and segment-anything's own modules.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import tiny_models
import torch
import torch.nn.functional as F
from oracle_relations import related
from PIL import Image
from safetensors.torch import load_file
from segment_anything.utils.amg import remove_small_regions

from infra.bench.plain_drawings import Boxes, bump, model_inputs, scaled, width_then_height

MIN_AREA = 400


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
    def foveated(self, pixels: torch.Tensor, image: Image.Image, boxes: Boxes) -> torch.Tensor:
        """Return unit features with each box's bump in the class token's row of the last four blocks."""
        visual, found = self.model.visual, []
        for view, box in zip(pixels, boxes, strict=True):
            row = torch.from_numpy(bump(box, image.size, self.side, visual.patch_size[0]))
            mask = torch.zeros(len(row), len(row))
            mask[0] = row
            x = visual._embeds(view[None])
            blocks = list(visual.transformer.resblocks)
            for block in blocks[:-4]:
                x = block(x)
            for block in blocks[-4:]:
                x = block(x, attn_mask=mask)
            found.append(visual._pool(x)[0] @ visual.proj)
        return F.normalize(torch.cat(found), dim=-1)

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
        size = (int(image.width * scale + 0.5), int(image.height * scale + 0.5))
        return width_then_height(image, size, Image.Resampling.BILINEAR)

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


def usable(box: list[float], image: Image.Image) -> bool:
    """Say whether a box has area and touches the image."""
    x, y, w, h = box
    return w > 0 and h > 0 and x < image.width and y < image.height and x + w > 0 and y + h > 0


def negatives(
    seed: int, dataset: str, split: str, sentence_id: str, bank: int, left_out: set[int] = frozenset()
) -> list[int]:
    """Draw the captions of S as documented: legacy generator keyed by the SHA-256 of a JSON list."""
    key = json.dumps([seed, dataset, split, sentence_id], separators=(",", ":"))
    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype=np.uint32)
    return [i for i in np.random.RandomState(words).permutation(bank) if i not in left_out][:500]


def score(
    features: list[tuple[Clip, torch.Tensor, torch.Tensor]],
    drawn: list[int] | None,
    boxes: int,
    prompt: str,
    phrase: str,
) -> np.ndarray:
    """Add up a text's scores of the boxes; `features` holds a model, its images and its whole bank."""
    total = torch.zeros(boxes)
    for clip, scaled_images, bank in features:
        one = scaled_images @ clip.texts([prompt.format(phrase)])[0]
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
    prompt: str = "a photo of {}",
    other_images: bool = False,
) -> dict[tuple[str, str], list[float]]:
    """Return the distribution over candidates by (dataset, sentence id).

    R looks up `parses` by text; with `other_images` S draws no caption of the image itself.
    """
    drawings, _, post_processing = method.partition(",")
    answers: dict[tuple[str, str], list[float]] = {}
    for dataset, split in splits:
        detections = json.loads((annotations / f"{dataset}_dets_dict.json").read_text())
        refs = [
            json.loads(line)
            for line in (annotations / f"{dataset}_{split.lower()}.jsonl").read_text().splitlines()
        ]
        bank = [prompt.format(s["raw"].lower()) for ref in refs for s in ref["sentences"]]
        shown_in = [ref["image_id"] for ref in refs for _ in ref["sentences"]]
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
                        drawn_boxes, (code, _, attention) = [boxes[i] for i in kept], drawing.partition("+")
                        pixels = model_inputs(code, image, drawn_boxes, clip.side, sam)
                        clip.shown[what] = (
                            clip.foveated(pixels, image, drawn_boxes) if attention else clip.images(pixels)
                        )
                    features.append((clip, clip.model.logit_scale.exp() * clip.shown[what], text))
            for sentence in ref["sentences"]:
                name, text = str(sentence["sent_id"]), sentence["raw"].lower()
                same = {i for i, image_id in enumerate(shown_in) if image_id == ref["image_id"]}
                drawn = None
                if "S" in post_processing:
                    drawn = negatives(seed, dataset, split, name, len(bank), same if other_images else set())
                scored = partial(score, features, drawn, len(kept), prompt)
                if "R" in post_processing:
                    found = related(parses[text], text, [boxes[i] for i in kept], scored)
                else:
                    found = torch.softmax(torch.from_numpy(scored(text)), 0).numpy()
                distribution = [0.0] * len(boxes)
                for i, p in zip(kept, found.tolist(), strict=True):
                    distribution[i] = p
                answers[dataset, name] = distribution
    return answers
