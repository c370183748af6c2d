import copy

import numpy as np
import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from operators.pixels.masks import remove_small_regions, tight_boxes_xyxy
from operators.segment.grid_proposals import grid_proposals
from operators.segment.proposals import GridSettings
from operators.segment.sam_model import SegmentAnything
from operators.segment.segmenter import BatchedSegmenter
from operators.weights.recipe_weights import fill_state_dict

FRAME_PX = 64
ANY_QUALITY = GridSettings(
    points_per_side=4, points_per_batch=5, min_predicted_iou=0, min_stability=0, max_box_iou=0.99
)
BOXES_XYXY = np.array(
    [[2, 3, 60, 40], [-5, 10, 30, 90], [50.5, 1.25, 119.75, 70], [0, 0, 120, 90], [7, 7, 9, 9]],
    dtype=np.float64,
)


def tiny_sam() -> Sam:
    width, grid = 32, FRAME_PX // 16
    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=FRAME_PX,
            embed_dim=width,
            depth=2,
            num_heads=2,
            out_chans=width,
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=width,
            image_embedding_size=(grid, grid),
            input_image_size=(FRAME_PX, FRAME_PX),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(depth=2, embedding_dim=width, mlp_dim=64, num_heads=2),
        ),
    ).eval()
    shapes = {name: tuple(value.shape) for name, value in sam.state_dict().items()}
    sam.load_state_dict({name: torch.from_numpy(value) for name, value in fill_state_dict(shapes).items()})
    return sam


@pytest.fixture(scope="module")
def sam():
    return tiny_sam()


@pytest.fixture
def image_HWC():
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_masks_are_boolean_in_the_frame(sam, image_HWC):
    segmenter = SegmentAnything(sam)
    masks_NHW = segmenter.segment(image_HWC, BOXES_XYXY)
    assert segmenter.frame_px == FRAME_PX
    assert masks_NHW.dtype == np.bool_
    assert masks_NHW.shape == (5, 48, 64) == (5, *segmenter.frame_size_px(90, 120))
    assert segmenter.to_frame(image_HWC).shape == (48, 64, 3)


def test_no_boxes_give_no_masks(sam, image_HWC):
    assert SegmentAnything(sam).segment(image_HWC, np.zeros((0, 4))).shape == (0, 48, 64)


def test_the_library_gives_the_same_logits(image_HWC):
    """The library's own forward pass, with its own attention, on the same frame and boxes."""
    ours, reference = SegmentAnything(tiny_sam(), min_area_px=0), tiny_sam()
    frame = ours.to_frame(image_HWC)
    scale = np.array([64 / 120, 48 / 90] * 2, dtype=np.float32)
    boxes = torch.from_numpy(BOXES_XYXY.astype(np.float32) * scale)
    pixels_CHW = torch.from_numpy(frame).permute(2, 0, 1)
    [expected] = reference([{"image": pixels_CHW, "original_size": (48, 64), "boxes": boxes}], False)
    logits, iou = ours.decode_boxes(ours.embed(image_HWC), boxes.numpy())
    torch.testing.assert_close(logits, expected["low_res_logits"][:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iou, expected["iou_predictions"][:, 0], rtol=1e-4, atol=1e-5)
    assert np.array_equal(ours.segment(image_HWC, BOXES_XYXY), expected["masks"][:, 0].numpy())


def test_masks_do_not_depend_on_how_boxes_are_batched(sam, image_HWC):
    whole = SegmentAnything(sam, boxes_per_batch=5).segment(image_HWC, BOXES_XYXY)
    assert whole.any() and not whole.all()
    for boxes_per_batch in (1, 2, 3):
        chunked = SegmentAnything(sam, boxes_per_batch=boxes_per_batch).segment(image_HWC, BOXES_XYXY)
        assert np.array_equal(chunked, whole)


def test_small_regions_are_removed_up_to_the_limit(sam, image_HWC):
    raw = SegmentAnything(sam, min_area_px=0).segment(image_HWC, BOXES_XYXY)
    cleaned = SegmentAnything(sam, min_area_px=50).segment(image_HWC, BOXES_XYXY)
    assert not np.array_equal(raw, cleaned)
    assert np.array_equal(cleaned, [remove_small_regions(mask_HW, 50) for mask_HW in raw])


def test_an_embedding_serves_many_calls(sam, image_HWC):
    segmenter = SegmentAnything(sam)
    embedding = segmenter.embed(image_HWC)
    assert (embedding.image_size_hw, embedding.frame_size_hw) == ((90, 120), (48, 64))
    one_by_one = [segmenter.masks_from_boxes(embedding, box)[0] for box in BOXES_XYXY]
    assert np.array_equal(one_by_one, segmenter.segment(image_HWC, BOXES_XYXY))


def test_images_of_several_sizes_share_an_encoder_pass(sam, image_HWC):
    segmenter = SegmentAnything(sam)
    images = [image_HWC, np.ascontiguousarray(image_HWC[:, :50])]
    for embedding, image in zip(segmenter.embed_batch(images), images, strict=True):
        alone = segmenter.embed(image)
        assert embedding.frame_size_hw == alone.frame_size_hw
        torch.testing.assert_close(embedding.features_1CHW, alone.features_1CHW, rtol=1e-4, atol=1e-5)


def test_the_three_steps_give_what_one_call_gives(sam, image_HWC):
    segmenter = SegmentAnything(sam, min_area_px=50)
    assert isinstance(segmenter, BatchedSegmenter)
    images = [image_HWC, np.ascontiguousarray(image_HWC[:, :50])]
    frames = [segmenter.to_frame(image) for image in images]
    boxes = [BOXES_XYXY, BOXES_XYXY[:2]]
    raw = segmenter.raw_masks(frames, [image.shape[:2] for image in images], boxes)
    for image, box, masks in zip(images, boxes, raw, strict=True):
        expected = segmenter.segment(image, box)
        assert not np.array_equal(masks, expected)
        assert (segmenter.cleaned(masks) == expected).mean() > 0.999  # borders follow the last bits of logits


def test_half_precision_encoder_still_gives_float32_embeddings(image_HWC):
    exact, half = SegmentAnything(tiny_sam()), SegmentAnything(tiny_sam(), dtype=torch.bfloat16)
    expected, features = exact.embed(image_HWC).features_1CHW, half.embed(image_HWC).features_1CHW
    assert features.dtype is torch.float32
    assert torch.nn.functional.cosine_similarity(features.ravel(), expected.ravel(), dim=0) > 0.999
    assert half.segment(image_HWC, BOXES_XYXY).shape == (5, 48, 64)
    assert len(grid_proposals(half, image_HWC, ANY_QUALITY)) > 0


def test_unknown_architecture():
    with pytest.raises(ValueError, match="'vit_x'; known: vit_b, vit_l, vit_h"):
        SegmentAnything.from_state_dict("vit_x", {})


@pytest.fixture
def tiny_registry(monkeypatch):
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda checkpoint: tiny_sam())


def test_loads_a_state_dict(tiny_registry, sam, image_HWC):
    weights = tiny_sam().state_dict()
    loaded = SegmentAnything.from_state_dict("vit_b", weights, min_area_px=7, boxes_per_batch=2)
    assert (loaded.min_area_px, loaded.boxes_per_batch) == (7, 2)
    expected = SegmentAnything(sam, min_area_px=7).segment(image_HWC, BOXES_XYXY)
    assert np.array_equal(loaded.segment(image_HWC, BOXES_XYXY), expected)


def test_wrong_weights_are_named(tiny_registry):
    weights = copy.copy(tiny_sam().state_dict())
    del weights["image_encoder.pos_embed"]
    weights["visual.proj"] = torch.zeros(3)
    weights["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)
    with pytest.raises(ValueError) as refused:
        SegmentAnything.from_state_dict("vit_b", weights)
    message = str(refused.value)
    assert "1 missing: image_encoder.pos_embed" in message
    assert "1 unexpected: visual.proj" in message
    assert "1 of another shape: mask_decoder.iou_token.weight" in message


def test_a_foreign_checkpoint_gives_a_short_message(tiny_registry):
    with pytest.raises(ValueError, match="model is in the file, image_encoder") as refused:
        SegmentAnything.from_state_dict("vit_b", {"model": torch.zeros(1)})
    assert len(str(refused.value)) < 500


def test_grid_proposals_are_in_original_pixels(sam, image_HWC):
    proposals = grid_proposals(SegmentAnything(sam), image_HWC, ANY_QUALITY)
    assert len(proposals) > 1
    assert [p.predicted_iou for p in proposals] == sorted((p.predicted_iou for p in proposals), reverse=True)
    for proposal in proposals:
        assert proposal.mask_HW.shape == (48, 64)
        left, top, right, bottom = tight_boxes_xyxy(proposal.mask_HW[None])[0]
        frame_xywh = np.array([left, top, right - left, bottom - top])
        assert proposal.box_xywh == pytest.approx(frame_xywh * [120 / 64, 90 / 48, 120 / 64, 90 / 48])


def test_grid_without_good_masks_proposes_nothing(sam, image_HWC):
    assert grid_proposals(SegmentAnything(sam), image_HWC, GridSettings(min_predicted_iou=1e6)) == []
