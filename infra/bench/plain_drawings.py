"""What the straightforward program draws, with Pillow and OpenCV alone, and FALIP's bump over the tokens."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torchvision.transforms.functional import normalize, to_tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RED, SHORT_SIDE, SIGMA = (255, 0, 0), 384, 100
CPT_RED, ALPHA = (240, 0, 30), 0.2
NATIVE = ("P", "I", "reclip_blur", "reclip_shade", "falip_circle")
Boxes = list[list[float]]


def scaled(boxes: Boxes, old: tuple[int, int], new: tuple[int, int]) -> list[np.ndarray]:
    """Scale x, y, w, h boxes to corners in another picture size, in float32."""
    factors = np.array([new[0] / old[0], new[1] / old[1]] * 2, np.float32)
    return [np.array([x, y, x + w, y + h], np.float32) * factors for x, y, w, h in boxes]


def bump(box: list[float], size: tuple[int, int], side: int, patch: int) -> np.ndarray:
    """Return FALIP's values for every token, the class token first: falip spec 2 and 3 read aloud."""
    x, y, w, h = box
    grid = side // patch
    edges = zip((x, y, x + w, y + h), size * 2, strict=True)
    x1, y1, x2, y2 = (max(int(np.ceil(min(max(e, 0), s) * side / s / patch)), 1) - 1 for e, s in edges)
    rows, columns = y2 - y1 + 1, x2 - x1 + 1
    squares = [
        [(i - (rows - 1) / 2) ** 2 + (j - (columns - 1) / 2) ** 2 for j in range(columns)]
        for i in range(rows)
    ]
    heights = np.float64(np.float32(np.exp(-0.5 * np.array(squares) / SIGMA**2)))
    low, high = heights.min(), heights.max()
    values = np.zeros((grid, grid), dtype=np.float32)
    values[y1 : y2 + 1, x1 : x2 + 1] = ALPHA * (heights - low + 1e-6) / (high - low + 1e-6)
    return np.concatenate([[np.float32(0)], values.ravel()])


def model_inputs(drawing: str, image: Image.Image, boxes: Boxes, side: int, sam: Any) -> torch.Tensor:
    """Draw a code for each box and make the model's input of it."""
    if drawing in NATIVE:
        pictures: list[Any] = [photograph(drawing, image, box) for box in boxes]
        squashed = [width_then_height(p, (side, side), Image.Resampling.BICUBIC) for p in pictures]
        return torch.stack([normalize(to_tensor(p), MEAN, STD) for p in squashed])
    pictures = canvases(drawing, image, boxes, sam)
    pixels = torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() for p in pictures])
    mean, std = (torch.tensor(v)[:, None, None] * 255 for v in (MEAN, STD))
    pixels = (pixels - mean) / std
    pixels = F.interpolate(pixels, (SHORT_SIDE, SHORT_SIDE), mode="bilinear", align_corners=False)
    return F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)


def photograph(drawing: str, image: Image.Image, box: list[float]) -> Image.Image:
    """Draw one box as ReCLIP, CPT-adapted and FALIP do, at the size of the image."""
    if drawing in ("P", "I"):
        return crop(image, box) if drawing == "P" else image
    x, y, w, h = box
    corners = [int(v) for v in (max(0, x), max(0, y), min(image.width, x + w), min(image.height, y + h))]
    if drawing == "falip_circle":
        picture, thickness = image.copy(), int(max(image.size) / 200)
        if thickness:
            ImageDraw.Draw(picture).ellipse(corners, outline=RED, width=thickness)
        return picture
    if drawing == "reclip_blur":
        inside, picture = Image.new("L", image.size), image.filter(ImageFilter.GaussianBlur(SIGMA))
        ImageDraw.Draw(inside).rectangle(corners, fill=255)
        picture.paste(image, mask=inside)
        return picture
    tint = Image.new("RGBA", image.size, (*CPT_RED, 0))
    ImageDraw.Draw(tint).rectangle(corners, fill=(*CPT_RED, 127))
    return Image.alpha_composite(image.convert("RGBA"), tint).convert("RGB")


def crop(image: Image.Image, box: list[float]) -> Image.Image:
    x, y, w, h = box
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(float(image.width), x + w), min(float(image.height), y + h)
    return image.crop((round(left), round(top), round(right), round(bottom)))


def width_then_height(image: Image.Image, size: tuple[int, int], filter: Image.Resampling) -> Image.Image:
    """Resize as one call did before Pillow 13."""
    return image.resize((size[0], image.height), filter).resize(size, filter)


def canvases(drawing: str, image: Image.Image, boxes: Boxes, sam: Any) -> list[np.ndarray]:
    """Draw FGVP's C1, C3, C4, D1, D3 or D4 for each box."""
    start = sam.frame(image) if drawing.startswith("D") else image
    scale = SHORT_SIDE / min(start.size)
    size = (int(start.width * scale + 0.5), int(start.height * scale + 0.5))
    canvas = width_then_height(start, size, Image.Resampling.BILINEAR)
    sharp = np.array(canvas)
    corners = scaled(boxes, image.size, start.size) if start is not image else scaled(boxes, (1, 1), (1, 1))
    masks = sam.masks(image, boxes) if drawing.startswith("D") else [None] * len(boxes)
    blurred = canvas.filter(ImageFilter.GaussianBlur(SIGMA)) if drawing.endswith("4") else canvas
    pictures = []
    for box, mask in zip(corners, masks, strict=True):
        if drawing.startswith("C"):
            box = box * np.array([size[0] / start.width, size[1] / start.height] * 2, np.float32)
            box = np.clip(box, 0, np.array([size[0] - 1, size[1] - 1] * 2, np.float32))
            x1, y1, x2, y2 = box
            center = (int(x1 + 0.5 * (x2 - x1)), int(y1 + 0.5 * (y2 - y1)))
            ellipse = (center, (int((x2 - x1) / 2), int((y2 - y1) / 2)), 0, 0, 360)
            inside = cv2.ellipse(np.zeros(size[::-1], np.uint8), *ellipse, 1, cv2.FILLED) > 0
        else:
            whole = torch.from_numpy(mask)[None, None].float()
            inside = F.interpolate(whole, size[::-1], mode="bilinear", align_corners=False)[0, 0].numpy() > 0
        if drawing == "C1":
            pictures.append(cv2.ellipse(sharp.copy(), *ellipse, RED, 2))
            continue
        if drawing == "D1":
            contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            pictures.append(cv2.drawContours(sharp.copy(), contours, -1, RED, 2))
        elif drawing.endswith("3"):
            grey = cv2.cvtColor(sharp, cv2.COLOR_BGR2GRAY)
            pictures.append(np.where(inside[..., None], sharp, grey[..., None]))
        else:
            picture = blurred.copy()
            picture.paste(canvas, mask=Image.fromarray(inside))
            pictures.append(np.array(picture))
    return pictures
