"""Operator versions: when an output changes, its version must be raised, or old parts would be reused.

After an intended change raise the version in `operators/methods/products.py` and hold the new output here;
the failing test prints it.
"""

from __future__ import annotations

import copy
import io
import json

import numpy as np
import open_clip
import pyarrow as pa
import pytest
import tiny_models
import torch
from PIL import Image
from safetensors.torch import save_file

from operators.encode.images import EncodeWithClip
from operators.encode.texts import EncodeTexts
from operators.methods.method import Method, Subtraction, prompted
from operators.methods.models import Encoder, Weights
from operators.methods.products import VERSIONS, Features, Predictions, Product, Texts
from operators.methods.variants import variant
from operators.pixels.geometry import box_status
from operators.rows.fingerprint import fingerprint
from operators.rows.records import IMAGE_ROW, LOGIT_SCALE, features_schema, text_features_schema
from operators.score.operator import ScoreExpressions

CAPTIONS = ["Left cat", "the dog", "a man in RED", "left cat", "2nd from right"]
BOXES = [[2.0, 3.0, 20.5, 14.25], [10.0, 8.0, 25.0, 20.0], [-3.0, -2.0, 12.0, 30.0], [90.0, 0.0, 5.0, 5.0]]
CANDIDATES = [1, 0, 3, 2, 0]
WIDTH, HEIGHT, DIMENSIONS = 48, 36, 8

# (kind, version) -> digest of scores rounded to 4 decimals, and decisions, by method.
HELD_DIGESTS = {("predictions", 1): {"sum": "4c376b8d5c9d", "max": "318f637f068b", "S": "cb761683953c"}}
# (kind, version) -> features on fixed axes, compared to 1e-3: the last bits of sums differ by machine.
# fmt: off
HELD_VALUES: dict[tuple[str, int], dict[str, list[float]]] = {
    ("features", 2): {
        "P": [1.11312, -1.11654, 1.15371, -1.20848, -0.18669, -1.00837,
              0.89683, -0.2482, 0.70859, -0.99579, 0.4964, -1.37174],
        "C1": [0.77141, -1.11497, 1.06551, -1.91756, 0.84078, -1.1262,
               0.44121, -0.53157, 0.51391, -0.74727, 0.70964, -0.53545],
    },
    ("texts", 2): {"texts": [-2.96438, -4.02027, -2.88222, -4.17197, -3.33131, -1.73111,
                                -2.96438, -4.02027, -2.92043, -3.66853]},
}
# fmt: on


def dice(seed: int) -> np.random.RandomState:
    """NumPy promises never to change the stream of this generator."""
    return np.random.RandomState(seed)


def rows() -> pa.Table:
    content = []
    for number in range(2):
        picture = Image.fromarray(dice(number).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        regions = [
            {
                "region_id": i,
                "box_xywh": box,
                "sources": [],
                "status": box_status(tuple(box), WIDTH, HEIGHT),
                "exact_mask": None,
            }
            for i, box in enumerate(BOXES)
        ]
        expressions = [
            {"expression_id": f"{number}-{i}", "split_index": i, "text": text, "status": "ok"}
            for i, text in enumerate(CAPTIONS)
        ]
        ref = {"ref_id": "r", "dataset": "refcoco", "split": "val", "target_region_ids": [1]}
        content.append(
            {
                "image_key": str(number),
                "image": buffer.getvalue(),
                "image_sha256": str(number),
                "width": WIDTH,
                "height": HEIGHT,
                "regions": regions,
                "proposal_sets": [{"name": "gold/refcoco", "region_ids": CANDIDATES}],
                "refs": [{**ref, "expressions": expressions}],
                "status": "ok",
            }
        )
    return pa.Table.from_pylist(content, schema=IMAGE_ROW)


def encoder(name: str, architecture: str = "none") -> Encoder:
    weights = Weights(source="/x", sha256=name, label="tiny")
    return Encoder(name=name, architecture=architecture, weights=weights, quick_gelu=True)


def load(product: Product) -> pa.Table:
    """Make up the parts that predictions are made from."""
    number = 10 * ord(product.encoder.name) + (product.kind == "texts")
    if isinstance(product, Texts):
        vectors = dice(number).standard_normal((len(CAPTIONS), DIMENSIONS))
        strings = [prompted(product.template, text) for text in CAPTIONS]
        content = [{"text": t, "feature": v} for t, v in zip(strings, vectors.tolist(), strict=True)]
        table = pa.Table.from_pylist(content, schema=text_features_schema(DIMENSIONS))
        return table.replace_schema_metadata({LOGIT_SCALE: b"20.0"})
    assert isinstance(product, Features)
    vectors = dice(number + ord(product.variant.code[0])).standard_normal((2, len(BOXES), DIMENSIONS))
    content = [{"image_key": str(i), "features": [*v[:3], None]} for i, v in enumerate(vectors)]
    return pa.Table.from_pylist(content, schema=features_schema(DIMENSIONS))


METHODS = {
    "sum": {},
    "max": {"reduce": "max"},
    "S": {"subtraction": Subtraction(captions=3, seed=1)},
}


@pytest.mark.parametrize("name", METHODS)
def test_predictions(name: str) -> None:
    method = Method(name=name, variants=(variant("P"), variant("I")), **METHODS[name])
    splits = (("refcoco", "val", "digest"),)
    encoders = (encoder("a"), encoder("b"))
    product = Predictions(method=method, encoders=encoders, proposals="gold", splits=splits)
    ((_, part),) = ScoreExpressions()(rows(), [product], load)
    found = []
    for p in (p for row in part.column("predictions").to_pylist() for p in row):
        # Adding zero makes -0.0 and 0.0 one value.
        scores = [None if s is None else round(s, 4) + 0.0 for s in p["scores"]]
        found.append([p["expression_id"], p["candidate_region_ids"], scores, p["predicted_region_id"]])
    assert len(found) == 2 * len(CAPTIONS)
    assert fingerprint(found) == HELD_DIGESTS["predictions", VERSIONS["predictions"]][name]


@pytest.fixture(scope="module")
def fixed_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a tiny model from NumPy's generator, which unlike torch's never changes."""
    state = open_clip.CLIP(**copy.deepcopy(tiny_models.VIT)).state_dict()
    numbers = dice(7)
    for name, value in sorted(state.items()):
        random = numbers.standard_normal(tuple(value.shape)).astype(np.float32) * 0.1
        is_norm = "ln_" in name and name.endswith("weight")
        state[name] = torch.from_numpy(np.asarray(random)) + float(is_norm)
    path = tmp_path_factory.mktemp("fixed") / "model.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return str(path)


def close_to_held(kind: str, name: str, features: np.ndarray) -> None:
    axes = dice(8).standard_normal((features.shape[-1], 2))
    found = (features @ axes).ravel()
    assert np.abs(found).max() > 0.1
    held = HELD_VALUES[kind, VERSIONS[kind]][name]
    np.testing.assert_allclose(found, held, atol=1e-3, err_msg=f"{kind} {name}: {found.round(5).tolist()}")


@pytest.mark.parametrize("code", ["P", "C1"])
def test_features(code: str, fixed_clip: str) -> None:
    product = Features(variant=variant(code), encoder=encoder("a", json.dumps(tiny_models.VIT)))
    ((_, part),) = EncodeWithClip(open_weights=lambda _: fixed_clip)(rows(), [product], load)
    vectors = [v for row in part.column("features").to_pylist() for v in row]
    assert [v is None for v in vectors] == 2 * [False, False, False, True]
    close_to_held("features", code, np.array([v for v in vectors if v is not None]))


def test_texts(fixed_clip: str) -> None:
    operator = EncodeTexts(encoder("a", json.dumps(tiny_models.VIT)), open_weights=lambda _: fixed_clip)
    strings = [prompted("a photo of {}", text) for text in CAPTIONS]
    part = operator.part(strings, operator.encode(strings))
    assert part.column("text").to_pylist() == strings
    close_to_held("texts", "texts", np.array(part.column("feature").to_pylist()))


def test_every_held_version_is_known() -> None:
    for kind, version in [*HELD_DIGESTS, *HELD_VALUES]:
        assert VERSIONS[kind] >= version
