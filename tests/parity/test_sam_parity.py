"""SAM masks against the reference programs: masks and boxes equal, real-size model outputs to 1e-3."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from segment_anything import sam_model_registry

from operators.pixels.masks import (
    decode_masks,
    drop_small_islands,
    encode_masks,
    fill_small_holes,
    remove_small_regions,
    tight_boxes_xyxy,
)
from operators.pixels.sam_frame import boxes_to_frame, frame_size_px
from operators.rows.records import RLE
from operators.segment.sam_model import SegmentAnything, masks_from_logits
from operators.weights.recipe_weights import fill_state_dict

MODEL_ATOL = 1e-3
PICTURES = Path(__file__).parent / "data" / "images.npz"
PASSES = {"holes": fill_small_holes, "islands": drop_small_islands}


def unpacked(packed, width_px: int):
    return np.unpackbits(packed, axis=-1, count=width_px).astype(bool)


def packed(masks):
    return np.packbits(masks, axis=-1)


def post_cases(golden):
    """Yield (name, frame size, limit in pixels, low-resolution logits) for everything the root has."""
    for about in golden.json("sam_post.json")["post"]:
        logits = golden.arrays("sam_post.npz")[f"{about['case']}__low_res_logits_f16"].astype(np.float32)
        assert frame_size_px(*about["orig_hw"]) == tuple(about["new_hw"])
        yield (
            about["case"],
            tuple(about["new_hw"]),
            about["min_mask_region_area"],
            torch.from_numpy(logits[:, 0]),
        )


def test_logits_become_the_reference_masks_and_boxes(golden):
    for case, size_hw, min_area_px, logits in post_cases(golden):
        before = masks_from_logits(logits, 1024, size_hw).numpy()
        after = np.stack([remove_small_regions(mask_HW, min_area_px) for mask_HW in before])
        golden.assert_equal("sam_post.npz", f"{case}__mask_before_packbits", packed(before))
        golden.assert_equal("sam_post.npz", f"{case}__mask_after_packbits", packed(after))
        golden.assert_equal("sam_post.npz", f"{case}__mask_boxes_after", tight_boxes_xyxy(after))


def test_masks_survive_storage(golden):
    for case, (height_px, width_px), _, _ in post_cases(golden):
        for when in ("before", "after"):
            name = f"{case}__mask_{when}_packbits"
            masks_NHW = unpacked(golden.arrays("sam_post.npz")[name], width_px)
            stored = pa.array(encode_masks(masks_NHW), type=RLE).to_pylist()
            golden.assert_equal("sam_post.npz", name, packed(decode_masks(stored, (height_px, width_px))))


def test_small_regions_are_the_reference_ones(golden):
    cases = golden.json("sam_post.json")["small_regions"]
    assert len(cases) == 50
    for case in cases:
        given = golden.arrays("small_regions.npz")[f"{case['name']}__in_packbits"]
        mask_HW = unpacked(given, case["hw"][1])
        PASSES[case["mode"]](mask_HW, case["area"])
        name = f"{case['name']}__{case['mode']}_{case['area']}_packbits"
        golden.assert_equal("small_regions.npz", name, packed(mask_HW))


def test_boxes_are_scaled_to_the_frame(golden):
    arrays = golden.arrays("sam_vit_b_recipe.npz")
    for name in [array for array in arrays if array.endswith("__boxes_1024")]:
        picture = name.removesuffix("__boxes_1024")
        size_hw = golden.arrays("images.npz")[picture].shape[:2]
        boxes = boxes_to_frame(arrays[f"{picture}__boxes_xyxy"], size_hw)
        golden.assert_equal("sam_vit_b_recipe.npz", name, boxes)


@pytest.fixture(scope="module")
def vit_b():
    with torch.device("meta"):
        empty = sam_model_registry["vit_b"](checkpoint=None).state_dict()
    weights = fill_state_dict({name: tuple(value.shape) for name, value in empty.items()})
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    return SegmentAnything.from_state_dict("vit_b", tensors)


@pytest.fixture(scope="module")
def embedding_of(vit_b):
    """One encoder pass a picture serves both roots."""
    return cache(lambda picture: vit_b.embed(np.load(PICTURES)[picture]))


@pytest.mark.real_size
@pytest.mark.timeout(300)
@pytest.mark.parametrize("picture", ["astronaut", "coffee"])
def test_vit_b_of_published_size(golden, vit_b, embedding_of, picture):
    """The one test that runs a SAM of real size."""
    arrays = golden.arrays("sam_vit_b_recipe.npz")
    if f"{picture}__boxes_xyxy" not in arrays:
        pytest.skip(f"the {golden.root} set has no {picture}")
    assert np.array_equal(golden.arrays("images.npz")[picture], np.load(PICTURES)[picture])
    embedding = embedding_of(picture)

    def assert_close(name: str, actual) -> None:
        if golden.root == "shared" or f"{picture}__{name}" in arrays:
            golden.assert_close("sam_vit_b_recipe.npz", f"{picture}__{name}", actual, atol=MODEL_ATOL)

    features = embedding.features_1CHW
    assert_close("embedding_probe", features[:, ::16, ::4, ::4])
    assert_close("embedding_meanstd", [features.double().mean(), features.double().std(correction=0)])

    boxes_xyxy = arrays[f"{picture}__boxes_xyxy"]
    frame_boxes = boxes_to_frame(boxes_xyxy, embedding.image_size_hw)
    logits, iou = vit_b.decode_boxes(embedding, frame_boxes)
    assert_close("low_res_logits_single", logits[:, None])
    assert_close("iou_pred_single", iou[:, None])
    boxes_N14 = torch.from_numpy(frame_boxes)[:, None]
    several, iou = vit_b.decode(embedding, boxes=boxes_N14, multimask=True)
    assert_close("low_res_logits_multi", several[:, -1:])
    assert_close("iou_pred_multi", iou)

    sparse, _ = vit_b.sam.prompt_encoder(None, torch.from_numpy(frame_boxes), None)
    assert_close("sparse_embeddings", sparse)

    # Upsampling is linear, so logits within the tolerance give masks between these two.
    golden_logits = torch.from_numpy(arrays[f"{picture}__low_res_logits_single"][:, 0])
    least = masks_from_logits(golden_logits - MODEL_ATOL, 1024, embedding.frame_size_hw).numpy()
    most = masks_from_logits(golden_logits + MODEL_ATOL, 1024, embedding.frame_size_hw).numpy()
    masks_NHW = SegmentAnything(vit_b.sam, min_area_px=0).masks_from_boxes(embedding, boxes_xyxy)
    assert (least <= masks_NHW).all() and (masks_NHW <= most).all()
    assert (least != most).mean() < 0.01, "the bounds must decide nearly every pixel"
