"""Show what drawings look like on one image, and which region each text is assigned to.

Example: python pipelines/preview.py --image dog.jpg --texts dog bowl --drawings P D4 --out preview
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

import numpy as np

from infra.errors import InputError
from infra.execution.inline import find_device
from infra.files import storage
from infra.preview.input import read_boxes_xyxy, read_drawings, read_image, read_points_xy
from infra.preview.scores import score
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.weights.checkpoint_check import check_weights, require_attention
from infra.weights.encoders import resolve_encoder
from infra.weights.segmenters import resolve_segmenter
from infra.weights.sources import local_file
from operators.foveal import FovealAttention
from operators.methods.method import prompted
from operators.methods.models import Encoder, Segmenter, weights_label
from operators.methods.variants import Variant
from operators.pictures.preview import (
    ATTENTION_REGIONS,
    Found,
    Scene,
    attention_picture,
    drawn_pictures,
    gallery_picture,
    png,
    to_xywh,
)
from operators.pixels.geometry import INVALID, Boxes, box_status, xywh_to_xyxy
from operators.pixels.images import to_array
from operators.pixels.masks import BoolMasks
from operators.score.assignment import Assign, result_rows

if TYPE_CHECKING:
    from PIL.Image import Image


POINTS_PER_BATCH = 64


class PreviewOptions(Options):
    """Draw on one image, assign its regions to texts, and write pictures of all of it."""

    RENAMED: ClassVar[Mapping[str, str]] = {"variants": "drawings"}

    image: str
    """JPEG, PNG or WebP file; any fsspec URL."""
    out: str
    """Folder for the pictures and result.json."""
    texts: tuple[str, ...] = ()
    """What to look for (quote each)."""
    boxes: str | None = None
    """JSON file with candidate boxes in pixels, [[x1, y1, x2, y2], ...]."""
    points: str | None = None
    """JSON file with points in pixels, [[x, y], ...], for SAM; without boxes and points it gets a grid."""
    drawings: tuple[str, ...] = ("D4",)
    """Drawings in paper notation (P D4, or 'P|D4'); a similarity is the mean over all of them. As an
    extension a colour may be that of the text: 'D2(mask_color=text)'."""
    encoder: str = "clip-shapes"
    """A bundled model, ARCHITECTURE:TAG, ARCHITECTURE:FILE or a model folder."""
    segmenter: str = "sam-shapes"
    """A bundled SAM; or vit_b, vit_l or vit_h, a colon, and `published`, a file or a URL."""
    assign: Assign = "one-to-one"
    """A region for one text at most, or the most similar region of every text."""
    template: str = "a photo of a {}"
    """What CLIP reads; {} stands for the lower-cased text."""
    attention: bool = False
    """Write attention.png: where CLIP looks before and after the mask of drawings such as I+FA."""
    gallery: bool = False
    """Write gallery.png: every prompt of the taxonomy on the first region given, or on the largest found."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


def preview(options: PreviewOptions) -> int:
    """Run the job and return its exit status.

    Raises:
        InputError: for anything that cannot be used, before a model is loaded; later for words that the
            encoder does not know, and for a gallery of an image in which SAM finds nothing.
    """
    _check_texts(options)
    drawings = read_drawings(options.drawings)
    image, sha256 = read_image(options.image)
    if options.boxes and options.points:
        raise InputError("--boxes and --points: give one of them")
    boxes_xyxy = read_boxes_xyxy(options.boxes, image.size) if options.boxes else None
    points_xy = read_points_xy(options.points, image.size) if options.points else None
    encoder = resolve_encoder(options.encoder) if options.texts else None
    draws_masks = options.gallery or any(drawing.mask_source != "none" for drawing in drawings)
    segmenter = resolve_segmenter(options.segmenter) if draws_masks or boxes_xyxy is None else None
    storage.require_writable(options.out)
    _check_attention(options, drawings, encoder)
    check_weights([encoder] if encoder else [], [segmenter] if segmenter else [])
    device = find_device(options.device)

    masks_NHW: BoolMasks | None = None
    if boxes_xyxy is None:
        assert segmenter is not None, "regions come from boxes or from a segmenter"
        boxes_xyxy, masks_NHW = _propose(image, points_xy, segmenter, device)
    elif segmenter:
        masks_NHW = _segment(image, boxes_xyxy, segmenter, device)
    origin = options.boxes or options.points or "a grid of points"
    print(f"{len(boxes_xyxy)} regions from {origin}")
    if encoder:
        from operators.encode.encoder import load_encoder

        scene = _scene(image, boxes_xyxy, masks_NHW, device)
        model = load_encoder(encoder, local_file(encoder.weights), device)
        prompts = [prompted(options.template, text) for text in options.texts]
        found = score(scene, drawings, prompts, model, options.assign)
        _print_pairs(options, found)
        for name, meaning, picture in drawn_pictures(options.texts, scene, drawings, found):
            _write(options, name, meaning, png(picture))
        if options.attention and len(boxes_xyxy):
            meaning = "attention before and after the mask"
            if len(boxes_xyxy) > ATTENTION_REGIONS:
                meaning += f", of the first {ATTENTION_REGIONS} of {len(boxes_xyxy)} regions"
            _write(options, "attention.png", meaning, png(attention_picture(scene, drawings, model)))
        models: list[Encoder | Segmenter] = [encoder, segmenter] if segmenter else [encoder]
        record = _record(options, scene, drawings, models, found) | {"image_sha256": sha256}
        _write(options, "result.json", "the result as data", json.dumps(record, indent=1).encode())
        print(f"weights: {weights_label(models)}")
    if options.gallery:
        assert masks_NHW is not None, "a gallery has a segmenter"
        chosen = _chosen(masks_NHW, first=origin in (options.boxes, options.points))
        figure = gallery_picture(_scene(image, boxes_xyxy[chosen], masks_NHW[chosen], device))
        _write(options, "gallery.png", "every prompt of the taxonomy", png(figure))
    return Exit.COMPLETE


def _check_texts(options: PreviewOptions) -> None:
    if not options.texts and not options.gallery:
        raise InputError("--texts: say what to look for, or ask for --gallery")
    if options.attention and not options.texts:
        raise InputError("--attention: say with --texts what to look for")
    blank = [position for position, text in enumerate(options.texts, start=1) if not text.strip()]
    if blank:
        raise InputError(f"--texts: text {blank[0]} is blank")
    if "{}" not in options.template:
        raise InputError(f"--template {options.template!r} has no {{}} for the text")


def _check_attention(options: PreviewOptions, drawings: list[Variant], encoder: Encoder | None) -> None:
    masked = [v for v in drawings if isinstance(v.attention, FovealAttention) and not v.colored_by_text]
    if options.attention and not masked:
        raise InputError("--attention: no drawing of --drawings has a mask to show; add one, such as I+FA")
    for drawing in drawings:
        if encoder and drawing.attention is not None:
            require_attention(f"--drawings {drawing.code}", encoder, drawing.attention)


def _segment(image: Image, boxes_xyxy: Boxes, segmenter: Segmenter, device: str) -> BoolMasks:
    from operators.segment.segmenter import load_segmenter

    sam = load_segmenter(segmenter, local_file(segmenter.weights), device)
    return sam.segment(to_array(image), boxes_xyxy)


def _propose(
    image: Image, points_xy: Boxes | None, segmenter: Segmenter, device: str
) -> tuple[Boxes, BoolMasks]:
    """Let SAM propose regions at the points, or at a grid of them; masks (N, H, W) are in its frame.

    As in the pipeline, what has no area is no region.
    """
    from operators.segment.proposals import grid_settings
    from operators.segment.segmenter import load_segmenter

    sam, pixels = load_segmenter(segmenter, local_file(segmenter.weights), device), to_array(image)
    if points_xy is not None:
        boxes_xyxy, masks = sam.regions_at_points(pixels, points_xy)
    else:
        settings = replace(
            grid_settings(segmenter), points_per_batch=POINTS_PER_BATCH, min_area_px=segmenter.min_area_px
        )
        proposals = sam.regions_on_grid(pixels, settings)
        boxes_xyxy = xywh_to_xyxy(np.array([proposal.box_xywh for proposal in proposals]))
        frame_hw = sam.frame_size_px(image.height, image.width)
        masks = np.array([proposal.mask_HW for proposal in proposals], dtype=np.bool_).reshape(-1, *frame_hw)
    valid = [box_status((x1, y1, x2 - x1, y2 - y1), *image.size) != INVALID for x1, y1, x2, y2 in boxes_xyxy]
    return boxes_xyxy[valid], masks[valid]


def _scene(image: Image, boxes_xyxy: Boxes, masks_NHW: BoolMasks | None, device: str) -> Scene:
    from operators.encode.views import ImageViews
    from operators.pixels.sam_frame import SAM_FRAME_PX

    views = ImageViews(
        image,
        to_xywh(boxes_xyxy),
        masks_of=None if masks_NHW is None else lambda _: masks_NHW,
        frame_px=SAM_FRAME_PX if masks_NHW is None else max(masks_NHW.shape[1:]),
        device=device,
    )
    return Scene(to_array(image), boxes_xyxy, masks_NHW, views)


def _chosen(masks_NHW: BoolMasks, first: bool) -> list[int]:
    """Return the region of the gallery: the first, or the largest."""
    if not len(masks_NHW):
        raise InputError("--gallery: SAM finds no region in this image; give a box with --boxes")
    return [0] if first else [int(masks_NHW.sum(axis=(1, 2)).argmax())]


def _record(
    options: PreviewOptions,
    scene: Scene,
    drawings: list[Variant],
    models: list[Encoder | Segmenter],
    found: Found,
) -> dict[str, Any]:
    """Return the result as plain data, in pixels of the image as stored."""
    from operators.pictures.annotate import masks_at_size

    size_hw = (scene.pixels_HWC.shape[0], scene.pixels_HWC.shape[1])
    assigned = [pair.region for pair in found.pairs]
    masks = None if scene.masks_NHW is None else masks_at_size(scene.masks_NHW[assigned], size_hw)
    return {
        "results": result_rows(found.pairs, found.similarity_NM, options.texts, scene.boxes_xyxy, masks),
        "candidates_xyxy": scene.boxes_xyxy.tolist(),
        "texts": options.texts,
        "similarity": found.similarity_NM.tolist(),
        "similarity_by_drawing": found.similarity_VNM.tolist(),
        "drawings": [drawing.model_dump(mode="json") for drawing in drawings],
        "models": [model.model_dump(mode="json") for model in models],
        "weights": weights_label(models),
        "options": options.model_dump(mode="json"),
        "image_size_hw": size_hw,
    }


def _print_pairs(options: PreviewOptions, found: Found) -> None:
    regions = {pair.text: pair.region for pair in found.pairs}
    for index, text in enumerate(options.texts):
        region = regions.get(index)
        where = (
            "no region" if region is None else f"region {region}, {found.similarity_NM[region, index]:.3f}"
        )
        print(f"  {text}: {where}")


def _write(options: PreviewOptions, name: str, meaning: str, data: bytes) -> None:
    url = storage.join(options.out, name)
    storage.write_bytes(url, data)
    print(f"{url}: {meaning}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(PreviewOptions, preview, argv)


if __name__ == "__main__":
    sys.exit(main())
