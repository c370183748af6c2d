"""Features of regions under any of the attention settings: the one entry for the encoder."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from operators.foveal import Attention, FeatureMask, FovealAttention, Replacement, Unleash, layer_indices
from operators.foveal.ablations import exchanged_features, unleashed_features, weighted_features
from operators.foveal.execution import masked_features
from operators.foveal.tokens import Floats, TokenGrid, bump_rows, mask_matrices
from operators.foveal.tower import Pictures, VisionTower
from operators.pixels.geometry import Boxes, grown_xyxy


def attention_rows(
    attention: Attention, boxes_xywh: Boxes, image_wh: tuple[int, int], grid: TokenGrid
) -> Floats:
    """Return what a setting does to every token of every region.

    Args:
        attention: the setting.
        boxes_xywh: N x 4, pixels of the image.
        image_wh: width and height of the image in pixels.
        grid: patches of the model.

    Returns:
        float32 (N, 1 + tokens): bumps to add to scores, or for `FeatureMask` factors of tokens. Settings
        that look at no box give zeros.
    """
    setting = attention.foveal if isinstance(attention, Replacement) else attention
    if setting is None or isinstance(setting, Unleash):
        return np.zeros((len(boxes_xywh), 1 + grid.shape[0] * grid.shape[1]), dtype=np.float32)
    boxes_xyxy = grown_xyxy(boxes_xywh, setting.enlarge_px)
    if isinstance(setting, FovealAttention):
        return bump_rows(boxes_xyxy, image_wh, grid, setting.alpha, setting.sigma_tokens)
    weights = bump_rows(boxes_xyxy, image_wh, grid, alpha=1.0, sigma_tokens=FovealAttention().sigma_tokens)
    if setting.weights == "inside":
        weights = (weights > 0).astype(np.float32)
    weights[:, 0] = 1.0
    return weights


def region_features(
    tower: VisionTower, attention: Attention, drawn: Pictures, raw: Pictures | None, rows_RL: Tensor
) -> Tensor:
    """Encode regions under an attention setting.

    Args:
        tower: the vision transformer.
        attention: the setting.
        drawn: what is drawn for the R regions.
        raw: their raw images, where `operators.foveal.needs_raw_image` says so.
        rows_RL: from `attention_rows`, on the device of the pictures.

    Returns:
        (R, E) features, unnormalised.

    Raises:
        ValueError: if the setting names blocks that the model does not have, or lacks the raw images.
    """
    depth = len(tower.blocks)
    if isinstance(attention, FovealAttention):
        masks = mask_matrices(rows_RL, attention.form)
        return masked_features(tower, drawn, masks, layer_indices(attention.layers, depth))
    if isinstance(attention, FeatureMask):
        return weighted_features(tower, drawn, rows_RL)
    if raw is None:
        raise ValueError(f"attention {attention.kind!r} needs the raw images beside the drawings")
    if isinstance(attention, Unleash):
        layers = layer_indices(attention.layers, depth)
        return unleashed_features(tower, drawn, raw, layers, propagate=attention.mode == "propagate")
    query_key, value = (drawn, raw) if attention.taken_from_raw == "v" else (raw, drawn)
    if attention.foveal is None:
        return exchanged_features(tower, query_key, value)
    masks = mask_matrices(rows_RL, attention.foveal.form)
    return exchanged_features(tower, query_key, value, masks, layer_indices(attention.foveal.layers, depth))
