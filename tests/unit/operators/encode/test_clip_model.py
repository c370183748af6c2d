"""CLIP models: trimmed text encoding, activations, and checkpoints that do not fit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import open_clip
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from operators.encode.encoders.open_clip import ClipModel, build_clip, read_clip_state
from operators.methods.models import Encoder, Weights

TEXTS = [
    "a photo of a cat",
    "x",
    "",
    "a photo of the second lady from the left in a red coat, holding an umbrella and a dog",
    "word " * 200,
]
WEIGHTS = "open_clip_model.safetensors"


def encoder(config: dict, quick_gelu: bool | None = None, dtype: str = "float32") -> Encoder:
    config = copy.deepcopy(config)
    quick = config.pop("quick_gelu", False) if quick_gelu is None else quick_gelu
    weights = Weights(source="/x", sha256="0" * 64, label="tiny")
    architecture = json.dumps(config)
    return Encoder(name="tiny", architecture=architecture, weights=weights, quick_gelu=quick, dtype=dtype)


def model_of(folder: str, config: dict, **options: object) -> ClipModel:
    return ClipModel(encoder(config, **options), str(Path(folder, WEIGHTS)), "cpu")


@pytest.mark.parametrize("name", ["tiny_vit", "tiny_resnet"])
def test_trimmed_text_encoding_is_the_full_one(name: str, request: pytest.FixtureRequest) -> None:
    config = {"tiny_vit": tiny_models.VIT, "tiny_resnet": tiny_models.RESNET}[name]
    model = model_of(request.getfixturevalue(name), config)
    with torch.no_grad():
        full = model.model.encode_text(model.tokenizer(TEXTS))
    assert full.std() > 0.01
    assert (model.encode_texts(TEXTS) - full).abs().max() < 1e-5
    for text, expected in zip(TEXTS, full, strict=True):
        alone = model.encode_texts([text])
        assert alone.shape == (1, model.dimensions)
        assert (alone[0] - expected).abs().max() < 1e-5


def test_the_trimmed_texts_run_fewer_positions(tiny_vit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tiny_vit, tiny_models.VIT)
    lengths = []
    original = model.model.transformer.forward
    monkeypatch.setattr(
        model.model.transformer, "forward", lambda x, **k: lengths.append(x.shape[1]) or original(x, **k)
    )
    model.encode_texts(["a photo of a cat"])
    model.encode_texts(["word " * 200])
    assert lengths == [8, 77]  # begin, five words, end, and what makes it a multiple of 4; the context length


def test_a_vector_does_not_depend_on_its_neighbours(tiny_vit: str) -> None:
    model = model_of(tiny_vit, tiny_models.VIT)
    texts = [f"{'red ' * (number % 9)}cat {number}" for number in range(150)]
    alone = torch.stack([model.encode_texts([text])[0] for text in texts])
    assert alone.std() > 0.01
    assert torch.equal(model.encode_texts(texts), alone)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.encode_texts([texts[place] for place in order]), alone[order])
    assert model.encode_texts([]).shape == (0, model.dimensions)


def test_properties(tiny_vit: str, tiny_resnet: str) -> None:
    vit, resnet = model_of(tiny_vit, tiny_models.VIT), model_of(tiny_resnet, tiny_models.RESNET)
    assert (vit.size_px, vit.dimensions) == (64, 24)
    assert (resnet.size_px, resnet.dimensions) == (96, 16)
    stored = load_file(Path(tiny_vit, WEIGHTS))["logit_scale"]
    assert vit.logit_scale == pytest.approx(float(stored.exp()))
    features = vit.encode_images(torch.zeros(3, 3, 64, 64))
    assert (features.shape, features.dtype) == ((3, 24), torch.float32)


def test_features_are_those_of_open_clip(tiny_resnet: str) -> None:
    model = model_of(tiny_resnet, tiny_models.RESNET)
    reference = open_clip.CLIP(**copy.deepcopy(tiny_models.RESNET)).eval()
    reference.load_state_dict(load_file(Path(tiny_resnet, WEIGHTS)))
    views = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference.encode_image(views)
    assert expected.std() > 0
    torch.testing.assert_close(model.encode_images(views), expected)


def test_quick_gelu_changes_features(tiny_vit: str) -> None:
    plain = model_of(tiny_vit, tiny_models.VIT, quick_gelu=False)
    quick = model_of(tiny_vit, tiny_models.VIT, quick_gelu=True)
    views = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert (plain.encode_images(views) - quick.encode_images(views)).abs().max() > 1e-4
    assert (plain.encode_texts(["a cat"]) - quick.encode_texts(["a cat"])).abs().max() > 1e-4


def test_bfloat16_gives_float32_close_to_it(tiny_vit: str) -> None:
    exact, rounded = (
        model_of(tiny_vit, tiny_models.VIT, dtype=d).encode_texts(["a cat"]) for d in ("float32", "bfloat16")
    )
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 0.1 * exact.abs().max()


def test_texts_beyond_the_context_are_counted(tiny_vit: str) -> None:
    """The context of 77 tokens has room for 75 words between its two marks."""
    model = model_of(tiny_vit, tiny_models.VIT)
    assert model.count_truncated(["red " * 75, "a", "😀", ""]) == 0
    assert model.count_truncated(["red " * 76, "a", "red " * 2500, "red " * 75]) == 2


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match="no model named 'ViT-Q-99'"):
        build_clip("ViT-Q-99", quick_gelu=False)


def test_a_model_on_meta_allocates_nothing() -> None:
    model = build_clip("ViT-B-32", quick_gelu=True, device="meta")
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.visual.image_size in (224, (224, 224))


def rewritten(folder: str, tmp_path: Path, change) -> str:
    state = load_file(Path(folder, WEIGHTS))
    change(state)
    path = tmp_path / WEIGHTS
    save_file(state, path)
    return str(path)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda s: s.pop("visual.proj"), r"missing.*visual\.proj"),
        (lambda s: s.update({"visual.extra": torch.zeros(1)}), r"unexpected.*visual\.extra"),
        (
            lambda s: s.update({"visual.proj": torch.zeros(64, 25)}),
            r"visual\.proj.*\(64, 25\), expected \(64, 24\)",
        ),
        # open_clip itself would resize these.
        (
            lambda s: s.update({"visual.positional_embedding": torch.zeros(10, 64)}),
            r"visual\.positional_embedding.*\(10, 64\), expected \(17, 64\)",
        ),
        (
            lambda s: s.update({"positional_embedding": torch.zeros(32, 32)}),
            r"positional_embedding.*\(32, 32\)",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_named(tiny_vit: str, tmp_path: Path, change, pattern: str) -> None:
    path = rewritten(tiny_vit, tmp_path, change)
    with pytest.raises(ValueError, match=pattern) as caught:
        read_clip_state(path, build_clip(encoder(tiny_models.VIT).architecture, False))
    assert path in str(caught.value)


def test_weights_of_another_architecture(tiny_resnet: str) -> None:
    path = str(Path(tiny_resnet, WEIGHTS))
    with pytest.raises(ValueError, match="does not fit the architecture") as caught:
        read_clip_state(path, build_clip(encoder(tiny_models.VIT).architecture, False))
    assert len(str(caught.value)) < 2000


def test_scalars_may_be_stored_as_one_element(tiny_vit: str, tmp_path: Path) -> None:
    path = rewritten(tiny_vit, tmp_path, lambda s: s.update({"logit_scale": torch.tensor([2.5])}))
    model = ClipModel(encoder(tiny_models.VIT), path, "cpu")
    assert model.logit_scale == pytest.approx(12.182494)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    import os

    class Attack:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "marker"),)

    torch.save({"a": torch.zeros(1), "b": Attack()}, tmp_path / "model.pt")
    with pytest.raises(Exception, match=r"mkdir|[Uu]nsupported|[Ww]eights"):
        read_clip_state(str(tmp_path / "model.pt"), build_clip(encoder(tiny_models.VIT).architecture, False))
    assert not (tmp_path / "marker").exists()
