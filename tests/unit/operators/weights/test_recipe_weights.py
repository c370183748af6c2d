import math
import zlib

import numpy as np
import pytest

from operators.weights.recipe_weights import RECIPE_SEED, fill_state_dict, recipe_parameter


@pytest.mark.parametrize(
    ("name", "shape", "base", "std"),
    [
        ("visual.bn1.running_mean", (64,), 0, 0.1),
        ("visual.bn1.running_var", (64,), 1, 0.05),
        ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128), 0, 1),
        ("visual.positional_embedding", (197, 64), 0, 1 / 8),
        ("visual.class_embedding", (64,), 0, 1 / 8),
        ("image_encoder.pos_embed", (1, 4, 4, 64), 0, 0.02),
        ("image_encoder.blocks.0.attn.rel_pos_w", (27, 64), 0, 0.02),
        ("prompt_encoder.point_embeddings.2.weight", (1, 256), 0, 1),
        ("mask_decoder.mask_tokens.weight", (4, 256), 0, 1),
        ("token_embedding.weight", (100, 64), 0, 0.02),
        ("visual.proj", (64, 32), 0, 1 / 8),
        ("text_projection", (64, 32), 0, 1 / 8),
        ("image_encoder.patch_embed.proj.weight", (32, 4, 4, 4), 0, 1 / 8),
        ("image_encoder.patch_embed.proj.bias", (32,), 0, 0.02),
        ("visual.ln_pre.weight", (64,), 1, 0.1),
        ("transformer.resblocks.0.attn.in_proj_weight", (192, 64), 0, 1 / 8),
        ("transformer.resblocks.0.attn.in_proj_bias", (192,), 0, 0.02),
    ],
)
def test_scale_follows_the_name(name, shape, base, std):
    stream = np.random.RandomState(zlib.crc32(name.encode()) ^ RECIPE_SEED)
    expected = (stream.standard_normal(shape) * std + base).astype(np.float16)
    made = recipe_parameter(name, shape)
    assert made.dtype == np.float32
    assert np.array_equal(made, expected)


def test_scalars_and_counters():
    assert recipe_parameter("logit_scale", ()) == np.float16(math.log(100))
    assert recipe_parameter("logit_scale", ()).shape == ()
    assert recipe_parameter("visual.bn1.num_batches_tracked", ()) == 0


def test_a_parameter_depends_on_its_name_and_the_seed_only():
    shapes = {"a.weight": (3, 4), "b.weight": (3, 4)}
    filled = fill_state_dict(shapes)
    assert list(filled) == list(shapes)
    assert not np.array_equal(filled["a.weight"], filled["b.weight"])
    assert np.array_equal(filled["b.weight"], recipe_parameter("b.weight", (3, 4)))
    assert not np.array_equal(filled["b.weight"], recipe_parameter("b.weight", (3, 4), seed=1))
