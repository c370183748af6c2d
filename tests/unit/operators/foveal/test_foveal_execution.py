"""Foveal execution on small transformers against open_clip's own blocks, region by region."""

from __future__ import annotations

import open_clip
import pytest
import torch
from foveal_oracle import largest_difference, masked_batch, masked_one_by_one, some_masks
from open_clip.transformer import QuickGELU, VisionTransformer

from operators.foveal.ablations import exchanged_features, unleashed_features, weighted_features
from operators.foveal.execution import masked_features
from operators.foveal.pictures import class_attention
from operators.foveal.tower import Pictures, VisionTower, whole

DEPTH, REGIONS = 5, 4
SMALL = {"patch_size": 16, "width": 64, "layers": DEPTH, "heads": 2, "mlp_ratio": 2.0, "output_dim": 24}
KINDS = {
    "plain": {},
    "quick_gelu": {"act_layer": QuickGELU},
    "layer_scale": {"ls_init_value": 0.5},
    "no_ln_pre": {"no_ln_pre": True},
    "ln_after_pool": {"final_ln_after_pool": True},
    "wide": {"image_size": (64, 112)},
}
EXACT = 2e-6


def make(seed: int = 0, **options) -> VisionTransformer:
    torch.manual_seed(seed)
    visual = VisionTransformer(**{"image_size": 80, **SMALL, **options}).eval().requires_grad_(False)
    for name, value in visual.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(value, std=0.1)  # zero as built, which would leave their use untested
    return visual


def views_of(visual, count: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *visual.image_size, generator=generator)


def shared(view: torch.Tensor, regions: int = REGIONS) -> Pictures:
    return Pictures(view, torch.zeros(regions, dtype=torch.long))


def each(views: torch.Tensor) -> Pictures:
    return Pictures(views, torch.arange(len(views)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_mask_is_plain_clip(kind: str) -> None:
    visual = make(**KINDS[kind])
    tower, views = VisionTower(visual), views_of(visual, 2)
    masks = torch.zeros(2, *[1 + tower.grid.shape[0] * tower.grid.shape[1]] * 2)
    found = masked_features(tower, each(views), masks, {1, 3})
    assert found.std() > 0.01
    assert largest_difference(found, visual(views)) < EXACT


@pytest.mark.parametrize("form", ["a", "b", "c"])
@pytest.mark.parametrize("layers", [{0}, {4}, {3, 4}, {1}, {1, 3}, {0, 1, 2, 3, 4}])
def test_shared_work_changes_nothing(form: str, layers: set[int]) -> None:
    visual = make()
    tower, view = VisionTower(visual), views_of(visual)
    masks = some_masks(tower.grid, REGIONS, form)
    expected = masked_one_by_one(visual, view.expand(REGIONS, -1, -1, -1), masks, layers)
    # On the diagonal of the last block a mask does not reach the class token.
    matters = (form, layers) != ("c", {DEPTH - 1})
    assert (largest_difference(expected, visual(view)) > 1e-3) == matters
    assert (largest_difference(expected[:1], expected[1:]) > 1e-3) == matters
    assert largest_difference(masked_features(tower, shared(view), masks, layers), expected) < EXACT


@pytest.mark.parametrize("kind", KINDS)
def test_regions_of_several_pictures_and_pictures_of_their_own(kind: str) -> None:
    visual = make(**KINDS[kind])
    tower, views, layers = VisionTower(visual), views_of(visual, 3), {2, 3}
    shown = torch.tensor([0, 0, 2, 1, 2])
    masks = some_masks(tower.grid, len(shown))
    expected = masked_batch(visual, views[shown], masks, layers)
    assert largest_difference(masked_features(tower, Pictures(views, shown), masks, layers), expected) < EXACT
    assert largest_difference(masked_features(tower, each(views[shown]), masks, layers), expected) < EXACT


def test_batched_is_one_by_one() -> None:
    visual = make()
    tower, view, layers = VisionTower(visual), views_of(visual), {2, 3, 4}
    masks = some_masks(tower.grid, REGIONS)
    together = masked_features(tower, shared(view), masks, layers)
    alone = [masked_features(tower, shared(view, 1), mask[None], layers) for mask in masks]
    assert largest_difference(together, torch.cat(alone)) < EXACT


def test_what_is_shared_runs_once() -> None:
    visual = make()
    tower, view = VisionTower(visual), views_of(visual)
    tokens = 1 + tower.grid.shape[0] * tower.grid.shape[1]
    rows = [0] * DEPTH

    def count(index: int, inputs: tuple[torch.Tensor]) -> None:
        rows[index] += inputs[0].shape[0] * inputs[0].shape[1]

    for index, block in enumerate(tower.blocks):
        block.mlp.register_forward_pre_hook(lambda _, inputs, index=index: count(index, inputs))
    masked_features(tower, shared(view), some_masks(tower.grid, REGIONS), {2, 3, 4})
    assert rows == [tokens, tokens, tokens + REGIONS, REGIONS * tokens, REGIONS]


def test_unleash_with_equal_pictures_is_plain_clip() -> None:
    visual = make(ls_init_value=0.5)
    tower, views = VisionTower(visual), views_of(visual, 2)
    for propagate in (False, True):
        found = unleashed_features(tower, each(views), each(views), {2, 3, 4}, propagate=propagate)
        assert largest_difference(found, visual(views)) < EXACT


def class_outputs(visual, views: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the class token's attention output of every open_clip block, and the tokens at the end."""
    outputs, x = [], visual._embeds(views)
    for block in visual.transformer.resblocks:
        outputs.append(block.attention(block.ln_1(x))[:, 0])
        x = block(x)
    return outputs, x


def test_unleash_adds_the_differences_of_attention_outputs() -> None:
    visual = make()
    tower, layers = VisionTower(visual), {3, 4}
    drawn, raw = views_of(visual, 2, seed=1), views_of(visual, 1, seed=2)
    (prompted, x), (clean, _) = class_outputs(visual, drawn), class_outputs(visual, raw)
    last = x[:, 0] + sum(prompted[index] - clean[index] for index in layers)
    expected = visual.ln_post(last) @ visual.proj
    direct = unleashed_features(tower, each(drawn), shared(raw, 2), layers)
    assert largest_difference(expected, visual(drawn)) > 1e-3
    assert largest_difference(direct, expected) < EXACT
    propagated = unleashed_features(tower, each(drawn), shared(raw, 2), layers, propagate=True)
    assert largest_difference(direct, propagated) > 1e-4


def test_unleash_propagates_block_by_block() -> None:
    visual = make()
    tower = VisionTower(visual)
    drawn, raw = views_of(visual, 2, seed=1), views_of(visual, 1, seed=2)
    clean, _ = class_outputs(visual, raw)
    x = visual._embeds(drawn)
    for index, block in enumerate(visual.transformer.resblocks):
        attended = block.attention(block.ln_1(x))
        if index >= 3:
            attended[:, 0] = 2 * attended[:, 0] - clean[index]
        x = x + attended
        x = x + block.mlp(block.ln_2(x))
    expected = visual.ln_post(x[:, 0]) @ visual.proj
    found = unleashed_features(tower, each(drawn), shared(raw, 2), {3, 4}, propagate=True)
    assert largest_difference(found, expected) < EXACT


def test_exchange_with_equal_pictures_is_the_masked_one() -> None:
    visual = make()
    # Queries and keys are those of an unmasked pass, so only in the last block nothing else can differ.
    tower, view, layers = VisionTower(visual), views_of(visual), {DEPTH - 1}
    pictures, masks = shared(view), some_masks(tower.grid, REGIONS)
    plain = exchanged_features(tower, pictures, pictures)
    assert largest_difference(plain, visual(view)) < EXACT
    masked = exchanged_features(tower, pictures, pictures, masks, layers)
    assert largest_difference(masked, masked_features(tower, pictures, masks, layers)) < EXACT


def test_exchange_takes_weights_from_one_and_values_from_the_other() -> None:
    visual = make(layers=1)
    tower, block = VisionTower(visual), visual.transformer.resblocks[0]
    first, second = views_of(visual, 2, seed=1), views_of(visual, 1, seed=2)
    look, seen = block.ln_1(visual._embeds(first)), visual._embeds(second).expand(2, -1, -1)
    x = seen + block.attn(look, look, block.ln_1(seen), need_weights=False)[0]
    x = x + block.mlp(block.ln_2(x))
    expected = visual.ln_post(x[:, 0]) @ visual.proj
    found = exchanged_features(tower, each(first), shared(second, 2))
    assert largest_difference(found, expected) < EXACT
    assert largest_difference(exchanged_features(tower, shared(second, 2), each(first)), expected) > 1e-3


def test_a_feature_mask_of_ones_is_plain_clip_and_zeros_hide_the_picture() -> None:
    visual = make()
    tower, views = VisionTower(visual), views_of(visual, 2)
    weights = torch.ones(2, 1 + tower.grid.shape[0] * tower.grid.shape[1])
    assert largest_difference(weighted_features(tower, each(views), weights), visual(views)) < EXACT
    weights[:, 1:] = 0
    first, second = weighted_features(tower, each(views), weights)
    assert torch.equal(first, second)


def test_class_attention_before_and_after_the_mask() -> None:
    visual = make(image_size=(64, 112))
    tower, view, layers = VisionTower(visual), views_of(visual), {2, 3, 4}
    masks = some_masks(tower.grid, REGIONS)
    before = class_attention(tower, shared(view))
    after = class_attention(tower, shared(view), masks, layers)
    assert before.shape == after.shape == (DEPTH, REGIONS, 4, 7)
    x = visual._embeds(view)
    for index, block in enumerate(visual.transformer.resblocks):
        normed = block.ln_1(x)
        weights = block.attn(normed, normed, normed, need_weights=True)[1]
        torch.testing.assert_close(before[index, 0], weights[0, 0, 1:].reshape(4, 7), atol=1e-6, rtol=0)
        x = block(x)
    assert torch.equal(before[:2], after[:2])
    inside = masks[:, 0, 1:].reshape(REGIONS, 4, 7) > 0
    change = (after - before)[2]
    assert ((change * inside).sum(dim=(1, 2)) > 0.1).all() and (change[~inside] < 0).all()


def test_attention_is_reported_as_it_is_used() -> None:
    visual = make()
    tower, view = VisionTower(visual), views_of(visual)
    masks = some_masks(tower.grid, 1)
    x = visual._embeds(view)
    for block in visual.transformer.resblocks[:2]:
        x = block(x)
    normed = visual.transformer.resblocks[2].ln_1(x)
    additive = masks.repeat(2, 1, 1)
    weights = visual.transformer.resblocks[2].attn(normed, normed, normed, attn_mask=additive)[1]
    found = class_attention(tower, shared(view, 1), masks, {2})[2, 0]
    torch.testing.assert_close(found, weights[0, 0, 1:].reshape(tower.grid.shape), atol=1e-6, rtol=0)


def test_a_whole_block_is_open_clips() -> None:
    visual = make(ls_init_value=0.5)
    x = visual._embeds(views_of(visual, 2))
    block = VisionTower(visual).blocks[0]
    torch.testing.assert_close(whole(block, x), block(x), atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pool_type": "avg"}, "pools with 'avg'"),
        ({"attentional_pool": True, "attn_pooler_heads": 2}, "pools with 'attention'"),
        ({"qk_norm": True}, "CustomResidualAttentionBlock"),
    ],
)
def test_transformers_that_are_refused(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        VisionTower(make(**options))


def test_resnets_are_refused() -> None:
    resnet = open_clip.modified_resnet.ModifiedResNet((1, 1, 1, 1), 16, heads=2, image_size=64, width=8)
    with pytest.raises(ValueError, match="ModifiedResNet"):
        VisionTower(resnet)
