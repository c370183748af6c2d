"""The straightforward program that this project is measured against, written from the papers' method.

It does what the published programs do, in their order, a picture and a sentence at a time, with the modules
of open_clip and segment-anything: SAM on the picture, every drawing of every box, CLIP on all of them and
on the caption and those that are subtracted. Nothing of this project draws, encodes or scores here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from segment_anything.utils.amg import remove_small_regions

from infra.bench.plain_drawings import Boxes, model_inputs, scaled, width_then_height
from infra.bench.spent import Spent

MIN_AREA_PX = 400
PROMPT = "a photo of {}"


class PlainSam:
    """SAM prompted with boxes, as `plain_drawings` asks for it."""

    def __init__(self, sam: Sam, spent: Spent) -> None:
        self._sam, self._spent = sam.eval(), spent
        self._side_px = sam.image_encoder.img_size
        self._made: list[NDArray[np.bool_]] | None = None

    def forget(self) -> None:
        """Make masks anew with the next call."""
        self._made = None

    def frame(self, image: Image.Image) -> Image.Image:
        """Resize an image to the frame that masks live in."""
        scale = self._side_px / max(image.size)
        size_wh = (int(image.width * scale + 0.5), int(image.height * scale + 0.5))
        return width_then_height(image, size_wh, Image.Resampling.BILINEAR)

    @torch.no_grad()
    def masks(self, image: Image.Image, boxes: Boxes) -> list[NDArray[np.bool_]]:
        """Return one mask a box, in the frame; the same for every drawing of a call of the program."""
        if self._made is None:
            self._made = self._masks(image, boxes)
        return self._made

    def _masks(self, image: Image.Image, boxes: Boxes) -> list[NDArray[np.bool_]]:
        frame, sam = self.frame(image), self._sam
        pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float()
        with self._spent.on("SAM encoder"):
            embedding = sam.image_encoder(sam.preprocess(pixels))
        with self._spent.on("SAM decoder"):
            corners = torch.from_numpy(np.stack(scaled(boxes, image.size, frame.size)))[:, None]
            sparse, dense = sam.prompt_encoder(points=None, boxes=corners, masks=None)
            low, _ = sam.mask_decoder(
                embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=False
            )
            full = F.interpolate(low, (self._side_px, self._side_px), mode="bilinear", align_corners=False)
        found = full[:, 0, : frame.height, : frame.width].numpy() > 0
        with self._spent.on("small regions"):
            return [self._cleaned(mask) for mask in found]

    @staticmethod
    def _cleaned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        mask, _ = remove_small_regions(mask, MIN_AREA_PX, mode="holes")
        return remove_small_regions(mask, MIN_AREA_PX, mode="islands")[0]


class PlainProgram:
    """Scores one sentence of one picture a call.

    Args:
        architecture: of CLIP, by open_clip's name.
        clip_path: its weights, safetensors.
        sam_architecture: `vit_b`, `vit_l` or `vit_h`; None where no drawing needs masks.
        sam_path: its weights.
        spent: counts what the steps take.
        keep_images: keep what was encoded of a picture for its next sentence, as one published program can.
    """

    def __init__(
        self,
        architecture: str,
        clip_path: str,
        sam_architecture: str | None,
        sam_path: str | None,
        spent: Spent,
        keep_images: bool = False,
    ) -> None:
        self.spent = spent
        self._clip = open_clip.create_model(architecture).eval()
        self._clip.load_state_dict(load_file(clip_path))
        self._tokenize = open_clip.get_tokenizer(architecture)
        self._sam = None
        if sam_architecture and sam_path:
            sam = sam_model_registry[sam_architecture]()
            sam.load_state_dict(torch.load(sam_path, weights_only=True))
            self._sam = PlainSam(sam, self.spent)
        self._kept: dict[tuple[int, str], torch.Tensor] | None = {} if keep_images else None

    @torch.no_grad()
    def probabilities(
        self,
        image: Image.Image,
        boxes_xywh: Boxes,
        caption: str,
        negatives: Sequence[str],
        drawings: Sequence[str],
    ) -> NDArray[np.float32]:
        """Return the distribution over the boxes (rec_scoring spec sections 7 and 8)."""
        if self._sam:
            self._sam.forget()
        features = torch.stack([self._pictures(image, boxes_xywh, drawing) for drawing in drawings])
        with self.spent.on("texts"):
            prompts = [PROMPT.format(text.lower()) for text in (caption, *negatives)]
            texts = self._clip.encode_text(self._tokenize(prompts), normalize=True)
        logits = self._clip.logit_scale.exp() * features @ texts.T
        scores = logits[..., 0] - (logits[..., 1:].mean(-1) if negatives else 0.0)
        return scores.sum(0).softmax(-1).numpy()

    def _pictures(self, image: Image.Image, boxes_xywh: Boxes, drawing: str) -> torch.Tensor:
        """Return unit features of a drawing of every box."""
        if self._kept is not None and (id(image), drawing) in self._kept:
            return self._kept[id(image), drawing]
        size = self._clip.visual.image_size
        side_px = size[0] if isinstance(size, tuple) else size
        views = self._draw(drawing, image, boxes_xywh, side_px)
        with self.spent.on("CLIP pictures"):
            features = self._clip.encode_image(views, normalize=True)
        if self._kept is not None:
            self._kept[id(image), drawing] = features
        return features

    def _draw(self, drawing: str, image: Image.Image, boxes_xywh: Boxes, side_px: int) -> torch.Tensor:
        """Draw, and count what the masks took apart from that."""
        masks = ("SAM encoder", "SAM decoder", "small regions")
        before = sum(self.spent.seconds[step] for step in masks)
        with self.spent.on("drawing"):
            views = model_inputs(drawing, image, boxes_xywh, side_px, self._sam)
        self.spent.seconds["drawing"] -= sum(self.spent.seconds[step] for step in masks) - before
        return views
