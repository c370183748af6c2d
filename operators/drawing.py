"""Drawing without a pipeline: an image, regions and a drawing in; pictures and model inputs out.

A notebook's worth of it:

    >>> from PIL import Image, ImageDraw
    >>> image = Image.new("RGB", (640, 480), "gray")
    >>> ImageDraw.Draw(image).ellipse((100, 50, 300, 350), fill="orange")
    >>> boxes_xywh = [[100, 50, 200, 300], [350, 100, 120, 90]]

A red circle around each box on a picture that is blurred outside the circle:

    >>> drawn = draw(image, boxes_xywh, "C4(sigma_px=30)+C1", size_px=224)
    >>> [picture.shape for picture in drawn.pictures]
    [(384, 512, 3), (384, 512, 3)]
    >>> drawn.inputs.shape, drawn.inputs.dtype
    (torch.Size([2, 3, 224, 224]), torch.float32)
    >>> picture = Image.fromarray(drawn.pictures[0])  # to look at

Drawings of masks take them in pixels of the image; crops are as large as their boxes:

    >>> import numpy as np
    >>> masks_NHW = np.zeros((2, 480, 640), bool)
    >>> masks_NHW[0, 60:340, 120:280] = masks_NHW[1, 100:190, 350:470] = True
    >>> contours = draw(image, boxes_xywh, "D1(line_color=0,128,255,thickness_px=4)", masks_NHW=masks_NHW)
    >>> contours.variant.code
    'D1(line_color=0,128,255,thickness_px=4)'
    >>> [picture.shape for picture in draw(image, boxes_xywh, "P").pictures]
    [(300, 200, 3), (90, 120, 3)]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from operators.encode.views import ImageViews
from operators.methods.method import baseline
from operators.methods.variants import Variant
from operators.pixels.clip_input import CLIP_MEAN, CLIP_STD
from operators.pixels.geometry import INVALID, box_status
from operators.pixels.masks import BoolMasks


@dataclass(frozen=True)
class Drawn:
    """What `draw` returns, one entry a region.

    Attributes:
        variant: what was drawn, with every parameter.
        pictures: N uint8 RGB arrays (h, w, 3), as drawn.
        inputs: float32 (N, 3, size_px, size_px) on the device, normalised for the encoder.
    """

    variant: Variant
    pictures: list[NDArray[np.uint8]]
    inputs: Tensor


def draw(
    image: Image.Image | NDArray[np.uint8],
    boxes_xywh: ArrayLike,
    drawing: Variant | str,
    *,
    masks_NHW: BoolMasks | None = None,
    size_px: int = 224,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
    device: str = "cpu",
) -> Drawn:
    """Draw every region of an image and make what an encoder is given.

    Args:
        image: of any mode, or uint8 RGB (H, W, 3) or grey (H, W); it is converted to RGB.
        boxes_xywh: N x 4, pixels of the image.
        drawing: a variant, or one in the notation of methods (`D4`, `D4+D1`), drawn on the image itself.
        masks_NHW: bool (N, H, W), for drawings that need masks; in pixels of the image (or of the SAM frame,
            for a variant with `mask_source="box"`).
        size_px: side of the encoder's input.
        mean: per channel, of values in 0..1.
        std: per channel, of values in 0..1.
        device: torch device for everything per pixel; the result is the same on each.

    Raises:
        ValueError: for a drawing that cannot be read or is an ensemble, boxes of another shape or without
            area in the image, missing masks or masks of another size.
    """
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    if size_px < 1:
        raise ValueError(f"size_px must be at least 1, got {size_px}")
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError(f"expected finite boxes N x 4 (left, top, width, height), got {boxes.shape}")
    for index, box in enumerate(boxes.tolist()):
        if box_status(tuple(box), *image.size) == INVALID:
            raise ValueError(f"box {index} {box} has no area in an image of {image.width} x {image.height}")
    variant = _one_drawing(drawing) if isinstance(drawing, str) else drawing
    if variant.colored_by_text:
        raise ValueError(f"{variant.code}: choose the colour, perhaps with operators.prompts.text_color")
    if variant.mask_source != "none" and masks_NHW is None:
        raise ValueError(f"{variant.code} draws with masks: give masks_NHW")

    def masks_of(source: str) -> BoolMasks:
        assert masks_NHW is not None
        return np.asarray(masks_NHW, dtype=bool)

    views = ImageViews(image.convert("RGB"), boxes, masks_of=masks_of, device=device)
    return Drawn(variant, views.pictures(variant), views.views(variant, size_px, mean, std))


def _one_drawing(text: str) -> Variant:
    method = baseline(text, mask_source="exact")
    if len(method.variants) != 1 or method.subtraction or method.relations:
        raise ValueError(f"{text!r} is a method; draw one of its drawings at a time")
    if method.variants[0].attention is not None:
        raise ValueError(f"{text!r} changes attention, which is nothing that can be drawn")
    return method.variants[0]
