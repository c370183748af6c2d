"""A small CLIP that knows coloured shapes, trained on scenes drawn by the visual prompts themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.transformer import PatchDropout
from PIL import Image
from torch import Tensor
from torch.nn import Identity

from operators.datasets.scenes.dataset import Scene, make_scene
from operators.datasets.scenes.layout import COLORS, PATTERNS, SHAPES, Look
from operators.datasets.scenes.wording import VOCABULARY
from operators.encode.encoders.open_clip import build_clip
from operators.encode.views import ImageViews
from operators.encode.word_tokenizer import WordTokenizer
from operators.methods.method import PHOTO, prompted
from operators.methods.variants import Variant, variant
from operators.pixels.clip_input import CLIP_MEAN, CLIP_STD
from operators.pixels.geometry import Boxes
from operators.prompts.render import native_to_input
from operators.training.captions import caption
from operators.training.first_layer import encode_any_size, settle_first_layer
from operators.training.task import ModelFolder

IMAGE_PX = 144
PATCH_PX = 12
WIDTH = 128
CONTEXT_LENGTH = 24
TOKENIZER = WordTokenizer(VOCABULARY, CONTEXT_LENGTH)
ARCHITECTURE = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": IMAGE_PX,
        "layers": 8,
        "width": WIDTH,
        "head_width": 32,
        "patch_size": PATCH_PX,
    },
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": TOKENIZER.vocab_size,
        "width": 128,
        "heads": 4,
        "layers": 3,
        "tokenizer_kwargs": {"words": list(VOCABULARY)},
    },
}
# Dropping half of the patches halves the cost (FLIP, arXiv:2212.00794), but for the end.
DROPPED_SHARE, WHOLE_FROM = 0.5, 0.9114
RAW = variant("raw")
SHARP = variant("D4", mask_source="exact")
# What a training scene is shown as: surroundings kept, cut off, blurred, or a red ellipse.
DRAWN = (
    *(RAW, variant("P"), SHARP, variant("C4"), variant("B4")),
    *(variant("C1"), variant("C1", thickness_px=4), variant("falip_circle")),
)
# How often each is; at the end, more of what is hard.
DRAWINGS = tuple(zip((0.16, 0.22, 0.20, 0.04, 0.04, 0.24, 0.06, 0.04), DRAWN, strict=True))
LAST_DRAWINGS = tuple(zip((0.14, 0.10, 0.32, 0.03, 0.03, 0.26, 0.08, 0.04), DRAWN, strict=True))
WATCHED = {"P": variant("P"), "D4": SHARP, "C1": variant("C1"), "I": RAW}


class Stage(NamedTuple):
    """A part of the training.

    Attributes:
        steps: how many.
        scenes: shown in one step.
        size_px: side of the views; small ones are cheap.
        drawings: what a scene is shown as, with shares.
        windows: views are cut from the drawing at random around each thing.
    """

    steps: int
    scenes: int
    size_px: int
    drawings: tuple[tuple[float, Variant], ...]
    windows: bool = False


# Shapes are learned from small pictures: filling them, then anywhere in them. Whole drawings alone teach
# colours and nothing else in this time.
STAGES = (
    Stage(700, 14, 72, ((1.0, WATCHED["P"]),)),
    Stage(400, 28, IMAGE_PX, DRAWINGS),
    Stage(500, 14, 72, ((1.0, SHARP),), windows=True),
    Stage(500, 28, IMAGE_PX, LAST_DRAWINGS),
)
# Side of a thing as a share of its window's.
WINDOW_SHARES = (0.3, 1.0)
ATTRIBUTES = {"shape": SHAPES, "color": COLORS, "pattern": PATTERNS}
JITTERED_SHARE, JITTER = 0.4, 0.05
MAX_LOGIT_SCALE = float(np.log(100))


class ClipShapes:
    """The task: what is learned, from what, and how well it is known (see `operators.training.task`)."""

    name = "clip-shapes"
    steps = sum(stage.steps for stage in STAGES)
    learning_rate = 1e-3
    # The first cycle is cut short by a warm restart (SGDR, arXiv:1608.03983).
    cycles: tuple[tuple[int, int], ...] = ((0, 1600), (1100, 1100))
    folder = ModelFolder(
        "open_clip_config.json",
        "open_clip_model.safetensors",
        {"model_cfg": ARCHITECTURE, "preprocess_cfg": {}},
    )

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def build(self) -> torch.nn.Module:
        """Return the model with fresh weights drawn from the seed, and heads that name attributes."""
        torch.manual_seed(self._seed)
        model: Any = build_clip(json.dumps(ARCHITECTURE), quick_gelu=False)
        settle_first_layer(model.visual, self.examples(0)["views"].float())
        model.attributes = torch.nn.ModuleList([torch.nn.Linear(WIDTH, len(n)) for n in ATTRIBUTES.values()])
        return model

    def exported(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the part of a state dict that belongs to the CLIP model."""
        return {name: value for name, value in state.items() if not name.startswith("attributes.")}

    def examples(self, step: int) -> dict[str, Tensor]:
        """Make the batch of one step.

        Returns:
            `views` float16 (V, 3, side, side), one caption a view as `tokens` (V, context); `fits` bool
            (V, V): whether caption j is true of what view i points at (of anything in it, for raw views); and
            `attributes` int64 (V, 3): shape, colour and pattern, -1 for raw views.
        """
        stage, numbers = _stage_at(step)
        views, texts, said, looks = [], [], [], []
        for number in numbers:
            random = np.random.RandomState([self._seed, 17, number])
            scene = make_scene(self._seed, "train", number)
            chosen = random.choice(len(stage.drawings), p=[share for share, _ in stage.drawings])
            drawing = stage.drawings[chosen][1]
            things = [[thing.look] for thing in scene.layout.things]
            if drawing == RAW:
                things = [[look for (look,) in things]]
            draw = _draw_windows if stage.windows else _draw
            views.append(draw(scene, drawing, random, stage.size_px)[: len(things)])
            for looks_of_view in things:
                text, description = caption(looks_of_view[random.randint(len(looks_of_view))], random)
                texts.append(text)
                said.append(description)
                looks.append(looks_of_view)
        fits = [[any(d.fits(look) for look in of_view) for d in said] for of_view in looks]
        return {
            "views": torch.cat(views).half(),
            "tokens": TOKENIZER(texts),
            "fits": torch.tensor(fits),
            "attributes": torch.tensor([_numbers(of_view) for of_view in looks]),
        }

    def loss(self, model: Any, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Contrast every true pair of view and caption with the false ones, and name the attributes."""
        model.logit_scale.data.clamp_(max=MAX_LOGIT_SCALE)
        small = batch["views"].shape[-1] < IMAGE_PX
        whole = small or progress >= WHOLE_FROM
        model.visual.patch_dropout = Identity() if whole else PatchDropout(DROPPED_SHARE)
        features = encode_any_size(model.visual, batch["views"].float())
        texts = F.normalize(model.encode_text(batch["tokens"]), dim=-1)
        logits = (model.logit_scale.exp() * F.normalize(features, dim=-1) @ texts.T).float()
        fits = batch["fits"]
        loss = (_contrast(logits, fits) + _contrast(logits.T, fits.T)) / 2
        for head, wanted in zip(model.attributes, batch["attributes"].T, strict=True):
            loss = loss + F.cross_entropy(head(features).float(), wanted, ignore_index=-1) / 2
        return loss

    @torch.inference_mode()
    def evaluate(self, model: Any, scenes: int = 60) -> dict[str, float]:
        """Return accuracy by drawing on held-out scenes: expressions of looks, exact boxes and masks."""
        correct: dict[str, list[bool]] = {name: [] for name in WATCHED}
        device = next(model.parameters()).device
        for number in range(scenes):
            scene = make_scene(self._seed + 1, "train", number)
            expressions = scene.expressions["scenes+"]
            if not expressions:
                continue
            tokens = TOKENIZER([prompted(PHOTO, e.sentence.text) for e in expressions])
            texts = F.normalize(model.encode_text(tokens.to(device)), dim=-1)
            for name, drawing in WATCHED.items():
                views = _draw(scene, drawing, None, IMAGE_PX).to(device)
                chosen = (F.normalize(model.encode_image(views), dim=-1) @ texts.T).argmax(0)
                correct[name] += [int(c) == e.thing for c, e in zip(chosen, expressions, strict=True)]
        return {f"accuracy {name}": float(np.mean(hits)) for name, hits in correct.items()}


def _stage_at(step: int) -> tuple[Stage, range]:
    """Return the stage of a step and the numbers of its scenes; no scene is shown twice."""
    first = 0
    for stage in STAGES[:-1]:
        if step < stage.steps:
            break
        first, step = first + stage.steps * stage.scenes, step - stage.steps
    else:
        stage = STAGES[-1]
    first += step * stage.scenes
    return stage, range(first, first + stage.scenes)


def _draw_windows(scene: Scene, drawing: Variant, random: np.random.RandomState, size_px: int) -> Tensor:
    """Cut a window around each thing from its drawing, so that it is of any size and in any place."""
    boxes_xywh = np.array(scene.boxes_xywh)
    pictures = _views(scene, boxes_xywh).pictures(drawing)
    windows = []
    for picture, (x, y, w, h) in zip(pictures, boxes_xywh, strict=True):
        height, width = picture.shape[:2]
        scale = width / scene.layout.width_px
        share = random.uniform(*WINDOW_SHARES)
        across, down = (max(int(side * scale / share), 1) for side in (w, h))
        left, top = (
            _start(x * scale, w * scale, across, width, random),
            _start(y * scale, h * scale, down, height, random),
        )
        windows.append(torch.from_numpy(picture[top : top + down, left : left + across].copy()))
    return native_to_input(windows, size_px)


def _start(start: float, side: float, window: int, whole: int, random: np.random.RandomState) -> int:
    """Choose where a window begins along one axis, so that it holds a thing and stays inside the picture."""
    low, high = max(start + side - window, 0.0), max(min(start, whole - window), 0.0)
    return int(random.uniform(min(low, high), max(low, high)))


def _numbers(looks: Sequence[Look]) -> list[int]:
    if len(looks) > 1:
        return [-1] * len(ATTRIBUTES)
    return [names.index(getattr(looks[0], name)) for name, names in ATTRIBUTES.items()]


def _contrast(logits_NM: Tensor, fits_NM: Tensor) -> Tensor:
    """Return the mean over true pairs of their cross-entropy against the false pairs of the same row."""
    false = logits_NM.masked_fill(fits_NM, -torch.inf).logsumexp(1, keepdim=True)
    entropy = torch.logaddexp(logits_NM, false) - logits_NM
    return (torch.where(fits_NM, entropy, 0.0).sum(1) / fits_NM.sum(1)).mean()


def _draw(scene: Scene, drawing: Variant, random: np.random.RandomState | None, size_px: int) -> Tensor:
    boxes_xywh = np.array(scene.boxes_xywh)
    if random is not None and random.uniform() < JITTERED_SHARE:
        boxes_xywh = _jittered(boxes_xywh, random)
    return _views(scene, boxes_xywh).views(drawing, size_px, CLIP_MEAN, CLIP_STD)


def _views(scene: Scene, boxes_xywh: Boxes) -> ImageViews:
    return ImageViews(Image.fromarray(scene.image_HWC), boxes_xywh, masks_of=lambda _: scene.masks_NHW)


def _jittered(boxes_xywh: Boxes, random: np.random.RandomState) -> Boxes:
    sides = np.tile(boxes_xywh[:, 2:], 2)
    return boxes_xywh + random.normal(0, JITTER, boxes_xywh.shape) * sides
