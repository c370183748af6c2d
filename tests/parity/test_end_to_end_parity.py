"""From a picture and captions to scores through our own operators, against the reference executor."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import operators.score.operator
from operators.encode.encoders.open_clip import ClipModel, build_clip
from operators.encode.images import EncodeWithClip
from operators.encode.texts import EncodeTexts
from operators.encode.views import ImageViews
from operators.methods.method import Method, Subtraction
from operators.methods.models import Encoder, Weights
from operators.methods.products import Features, Predictions
from operators.methods.variants import variant
from operators.rows.records import IMAGE_ROW
from operators.score.operator import ScoreExpressions
from operators.weights.recipe_weights import fill_state_dict

FILE = "e2e.npz"
SPLIT = ("golden", "all", "")
BIAS_CROPPED = {"canvas_px": 224, "fit": "bias_crop"}
DRAWINGS = {
    "e0": [variant(name) for name in ("crop", "circle", "blur_circle_mask", "grayscale_circle_mask")],
    "e1": [variant(name) for name in ("crop", "reclip_blur")],
    "e2": [
        variant("fgvp_crop", **BIAS_CROPPED),
        variant("box", **BIAS_CROPPED),
        variant("reverse_box_mask", mask_color="black", **BIAS_CROPPED),
        variant("keypoint", **BIAS_CROPPED),
    ],
}
INPUT_ATOL, FEATURE_ATOL, SCORE_ATOL = 1e-5, 1e-4, 2e-3


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    shapes = {n: tuple(v.shape) for n, v in build_clip("ViT-B-32", True, "meta").state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "recipe.safetensors"
    save_file({n: torch.from_numpy(v) for n, v in fill_state_dict(shapes).items()}, path)
    weights = Weights(source=str(path), sha256="0" * 64, label="random")
    return Encoder(name="ViT-B-32", architecture="ViT-B-32", weights=weights, quick_gelu=True)


def row_of(image_HWC: np.ndarray, boxes_xywh: np.ndarray, captions: list[str]) -> pa.Table:
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "PNG")
    regions = [
        {
            "region_id": i,
            "box_xywh": list(box),
            "sources": ["gold/golden"],
            "status": "ok",
            "exact_mask": None,
        }
        for i, box in enumerate(boxes_xywh)
    ]
    expressions = [
        {
            "expression_id": str(i),
            "split_index": i,
            "text": text,
            "parse": None,
            "status": "ok",
            "error": None,
        }
        for i, text in enumerate(captions)
    ]
    ref = {
        "ref_id": "0",
        "dataset": "golden",
        "split": "all",
        "target_region_ids": [0],
        "expressions": expressions,
    }
    row = {
        "image_key": "file/golden",
        "image": buffer.getvalue(),
        "image_sha256": "",
        "width": image_HWC.shape[1],
        "height": image_HWC.shape[0],
        "regions": regions,
        "proposal_sets": [{"name": "gold/golden", "region_ids": list(range(len(regions)))}],
        "refs": [ref],
        "status": "ok",
        "error": None,
    }
    return pa.Table.from_pylist([row], schema=IMAGE_ROW)


@pytest.mark.real_size
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case_name", DRAWINGS)
def test_scores_match_the_reference(golden, encoder, case_name, monkeypatch) -> None:
    arrays = golden.arrays(FILE)
    if f"{case_name}__scores" not in arrays:
        pytest.skip(f"the {golden.root} set does not have {case_name}")
    case = next(c for c in golden.json("e2e.json")["cases"] if c["case"] == case_name)
    image_HWC, boxes = golden.arrays("images.npz")[case["image"]], arrays[f"{case_name}__boxes_xywh"]
    variants, arguments = tuple(DRAWINGS[case_name]), case["args"]
    open_weights = lambda weights: weights.source  # noqa: E731
    model = ClipModel(encoder, encoder.weights.source, "cpu")
    views = ImageViews(Image.fromarray(image_HWC), boxes)
    inputs = torch.cat([views.views(v, model.size_px, model.mean, model.std) for v in variants])
    golden.assert_close(
        FILE, f"{case_name}__clip_input_probe", inputs[..., ::16, ::16].numpy(), atol=INPUT_ATOL
    )

    captions = case["captions"]
    template = arguments["text_prompt"].replace("<caption>", "{}")
    negatives = case["negatives"]
    rows = row_of(image_HWC, boxes, captions)
    wanted = [Features(variant=v, encoder=encoder) for v in variants]
    parts = dict(EncodeWithClip(open_weights=open_weights)(rows, wanted, parts_never_asked))
    stored = np.concatenate([np.array(parts[p].column("features")[0].as_py()) for p in wanted])
    unit = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    golden.assert_close(FILE, f"{case_name}__image_features", unit, atol=FEATURE_ATOL)

    drawn = np.arange(len(captions), len(captions) + len(negatives))
    monkeypatch.setattr(operators.score.operator, "draw_negatives", lambda *_: drawn)
    subtraction = Subtraction() if negatives else None
    method = Method(
        name=case_name,
        variants=variants,
        subtraction=subtraction,
        template=template,
        reduce=case["method_aggregator"],
    )
    product = Predictions(method=method, encoders=(encoder,), proposals="gold", splits=(SPLIT,))
    ((texts,),) = product.texts()
    # The published bank is always in "a photo of", whatever the template of the captions.
    strings = [*(texts.template.replace("{}", caption.lower()) for caption in captions), *negatives]
    text_operator = EncodeTexts(encoder, open_weights=open_weights)
    encoded = text_operator.encode(strings)
    check_texts(golden, case_name, model, strings, np.stack([encoded[string] for string in strings]))
    parts[texts] = text_operator.part(strings, encoded)
    ((_, predictions),) = ScoreExpressions()(rows, [product], lambda p: parts[p])
    found = predictions.column("predictions")[0].as_py()
    golden.assert_close(FILE, f"{case_name}__scores", [p["scores"] for p in found], atol=SCORE_ATOL)
    golden.assert_close(
        FILE, f"{case_name}__softmax_probs", [p["probabilities"] for p in found], atol=SCORE_ATOL
    )


def check_texts(golden, case_name: str, model: ClipModel, strings: list[str], features: np.ndarray) -> None:
    """Compare tokens and features of the captions, and features of the negatives."""
    arrays, unit = golden.arrays(FILE), features / np.linalg.norm(features, axis=1, keepdims=True)
    tokens = model.tokenizer(strings).numpy().astype(np.int32)
    captions = [name for name in arrays if name.startswith(f"{case_name}__text_feature_")]
    for index, name in enumerate(captions):
        golden.assert_close(FILE, name, unit[index], atol=FEATURE_ATOL)
        if (name := name.replace("text_feature", "tokens")) in arrays:
            golden.assert_equal(FILE, name, tokens[index])
    if (name := f"{case_name}__negative_text_features") in arrays:
        golden.assert_close(FILE, name, unit[len(captions) :], atol=FEATURE_ATOL)


def parts_never_asked(product: object) -> pa.Table:
    raise AssertionError(f"these drawings need no {product}")
