import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from segment_anything.utils.amg import remove_small_regions as reference_pass

from operators.pixels.masks import (
    decode_masks,
    encode_masks,
    mask_iou,
    mask_of_segmentation,
    remove_small_regions,
    tight_boxes_xyxy,
)

mask_stacks = arrays.arrays(
    np.bool_, arrays.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=17), fill=st.booleans()
)


def filled(height, width, *areas):
    mask_HW = np.zeros((height, width), dtype=bool)
    for rows, columns in areas:
        mask_HW[rows, columns] = True
    return mask_HW


@given(mask_stacks)
def test_run_lengths_round_trip(masks_NHW):
    encoded = encode_masks(masks_NHW)
    assert [rle["size"] for rle in encoded] == [list(masks_NHW.shape[1:])] * len(masks_NHW)
    decoded = decode_masks(encoded, masks_NHW.shape[1:])
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, masks_NHW)


def test_no_masks_keep_their_size():
    assert encode_masks(np.zeros((0, 5, 7), dtype=bool)) == []
    assert decode_masks([], (5, 7)).shape == (0, 5, 7)


@pytest.mark.parametrize("masks", [np.zeros((2, 3), dtype=bool), np.zeros((1, 2, 3), dtype=np.uint8)])
def test_only_stacks_of_boolean_masks_are_encoded(masks):
    with pytest.raises(ValueError, match="boolean masks N x H x W"):
        encode_masks(masks)


def test_decoding_refuses_another_size():
    with pytest.raises(ValueError, match=r"size \[5, 7\], expected \[7, 5\]"):
        decode_masks(encode_masks(np.ones((1, 5, 7), dtype=bool)), (7, 5))


@pytest.mark.parametrize("counts", [b"", b"\xff\xff", b"01000000", b"zzzzzz"])
def test_decoding_refuses_damaged_counts(counts):
    with pytest.raises(ValueError, match=r"do not describe a mask|Invalid RLE"):
        decode_masks([{"size": [10, 10], "counts": counts}], (10, 10))


@pytest.mark.parametrize("side", [9, 4000])
def test_decoding_refuses_counts_of_another_size(side):
    counts = encode_masks(np.ones((1, side, side), dtype=bool))[0]["counts"]
    with pytest.raises(ValueError, match=r"do not describe a mask|Invalid RLE"):
        decode_masks([{"size": [10, 10], "counts": counts}], (10, 10))


def test_tight_boxes_end_at_the_last_pixel():
    inner, everything = filled(6, 9, (slice(1, 4), slice(2, 8))), np.ones((6, 9), dtype=bool)
    masks_NHW = np.stack([inner, ~everything, everything])
    assert tight_boxes_xyxy(masks_NHW).tolist() == [[2, 1, 7, 3], [0, 0, 0, 0], [0, 0, 8, 5]]


def test_mask_iou():
    left, right = filled(4, 4, (slice(4), slice(2))), filled(4, 4, (slice(4), slice(1, 4)))
    empty = np.zeros((4, 4), dtype=bool)
    overlaps = mask_iou(np.stack([left, empty]), np.stack([left, right, empty]))
    assert overlaps.tolist() == [[1, 0.25, 0], [0, 0, 0]]


def test_a_hole_of_the_limit_is_kept_and_a_smaller_one_filled():
    mask_HW = np.ones((100, 120), dtype=bool)
    mask_HW[10:30, 10:30] = False
    mask_HW[50:71, 50:69] = False
    cleaned = remove_small_regions(mask_HW, 400)
    assert not cleaned[10:30, 10:30].any()
    assert cleaned[50:71, 50:69].all()
    assert mask_HW[50:71, 50:69].sum() == 0, "the input must stay as it was"


def test_a_speck_of_background_in_the_corner_is_filled():
    mask_HW = np.ones((60, 80), dtype=bool)
    mask_HW[:5, :5] = False
    assert remove_small_regions(mask_HW, 400).all()


def test_when_all_islands_are_small_the_largest_stays():
    largest = filled(200, 200, (slice(120, 130), slice(20, 39)))
    others = filled(200, 200, (slice(3, 6), slice(3, 6)), (slice(150, 160), slice(150, 160)))
    assert np.array_equal(remove_small_regions(largest | others, 400), largest)


def test_islands_of_the_limit_stay_and_smaller_ones_go():
    kept = filled(90, 90, (slice(10, 30), slice(10, 30)))
    dropped = filled(90, 90, (slice(50, 71), slice(50, 69)))
    assert np.array_equal(remove_small_regions(kept | dropped, 400), kept)


def test_diagonal_neighbours_are_one_island():
    mask_HW = np.eye(30, dtype=bool)
    assert np.array_equal(remove_small_regions(mask_HW, 30), mask_HW)


def test_holes_are_filled_before_islands_are_measured():
    ring = filled(60, 60, (slice(10, 31), slice(10, 31)))
    solid = ring.copy()
    ring[11:30, 11:30] = False
    assert np.array_equal(remove_small_regions(ring, 400), solid)


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_stay(value):
    mask_HW = np.full((50, 40), value)
    assert np.array_equal(remove_small_regions(mask_HW, 400), mask_HW)


def test_an_empty_mask_of_a_tiny_image_is_one_small_hole():
    assert remove_small_regions(np.zeros((5, 5), dtype=bool), 400).all()


def test_limit_zero_changes_nothing():
    mask_HW = np.random.default_rng(0).random((40, 50)) < 0.5
    assert np.array_equal(remove_small_regions(mask_HW, 0), mask_HW)


@settings(max_examples=400)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    density=st.sampled_from([0.005, 0.03, 0.3, 0.6, 0.95]),
    band=st.sampled_from([(0, 0), (3, 0), (0, 5), (4, 7)]),
    min_area_px=st.integers(0, 60),
)
def test_agrees_with_the_two_whole_image_passes(seed, height, width, density, band, min_area_px):
    """The window must not show: sparse masks, slivers of background beside them, ties between islands."""
    mask_HW = np.random.default_rng(seed).random((height, width)) < density
    mask_HW[: band[0]] = False
    mask_HW[:, : band[1]] = False
    expected, _ = reference_pass(mask_HW, min_area_px, mode="holes")
    expected, _ = reference_pass(expected, min_area_px, mode="islands")
    assert np.array_equal(remove_small_regions(mask_HW, min_area_px), expected)


SQUARE = [10, 5, 20, 5, 20, 15, 10, 15]


def test_polygons_and_run_lengths_become_masks():
    (found,) = decode_masks(
        [mask_of_segmentation([SQUARE, [0.0, 0.0, 4.0, 0.0, 4.0, 3.0]], (30, 40))], (30, 40)
    )
    assert found[5:15, 10:20].all() and not found[:, 21:].any() and found[0, 2] and not found[20:].any()
    counts = [3 * 30 + 4, 6, 30 * 40 - 3 * 30 - 10]
    (column,) = decode_masks([mask_of_segmentation({"size": [30, 40], "counts": counts}, (30, 40))], (30, 40))
    assert column.sum() == 6 and column[4:10, 3].all()


def test_a_polygon_far_outside_is_cut_at_the_border():
    far = [[-9e5, 5, 9e5, 5, 9e5, 10, -9e5, 10]]
    (found,) = decode_masks([mask_of_segmentation(far, (30, 40))], (30, 40))
    assert found[5:10].all() and not found[11:].any()


@pytest.mark.parametrize(
    "segmentation",
    [
        *(None, [], {}, "polygon", 7, [[]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [SQUARE, "x"]),
        *([[1, 2, 3, float("nan"), 5, 6]], [[1, 2, 3, float("inf"), 5, 6]], [[1, 2, 3, 1e300, 5, 6]]),
        *({"size": [30, 40], "counts": [5]}, {"size": [40, 30], "counts": [1200]}),
        *({"size": [30, 40], "counts": [-5, 1205]}, {"size": [30, 40], "counts": "abc"}),
    ],
)
def test_what_is_no_segmentation_gives_no_mask(segmentation):
    assert mask_of_segmentation(segmentation, (30, 40)) is None
    assert mask_of_segmentation([SQUARE], (0, 0)) is None
