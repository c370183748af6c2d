"""preview: one image and some texts to pictures and a result, with tiny models of random weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.run.command_line import run_job
from infra.run.options import Exit
from infra.weights.encoders import resolve_encoder
from infra.weights.sources import local_file
from operators.encode.encoders.open_clip import ClipModel
from operators.encode.views import ImageViews
from operators.methods.variants import variant
from operators.pictures.preview import to_xywh
from operators.pixels.geometry import xywh_to_xyxy
from operators.pixels.masks import decode_masks
from operators.prompts.text_color import text_color
from operators.score.assignment import assign
from operators.segment.proposals import GridProposal
from operators.segment.segmenters import sam
from pipelines.preview import PreviewOptions, preview

WIDTH, HEIGHT = 120, 90
BOXES_XYXY = [[5.5, 4, 40, 60], [50, 20, 118, 85], [-8, 30, 30, 95]]
TEXTS = ("the Red ball", "a blue cup")


@pytest.fixture
def image(tmp_path: Path) -> str:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 255, (9, 12, 3), dtype=np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


@pytest.fixture
def boxes(tmp_path: Path) -> str:
    (tmp_path / "boxes.json").write_text(json.dumps(BOXES_XYXY))
    return str(tmp_path / "boxes.json")


@pytest.fixture
def run(image: str, tiny_vit: str, tiny_sam: str, tmp_path: Path):
    """Run the job in this process and return its folder and its result."""

    def run(**options) -> tuple[Path, dict]:
        out = tmp_path / "out"
        common = {"image": image, "encoder": tiny_vit, "segmenter": tiny_sam, "device": "cpu"}
        assert preview(PreviewOptions(out=str(out), **(common | options))) == Exit.COMPLETE
        result = out / "result.json"
        return out, json.loads(result.read_text()) if result.exists() else {}

    return run


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """Read every picture of a folder, by name."""
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def test_the_recipe_ends_as_its_job_does(run_recipe, tmp_path) -> None:
    none, out = str(tmp_path / "none.jpg"), str(tmp_path / "out")
    flags = ["--image", none, "--texts", "dog", "--out", out]
    done = run_recipe("pipelines/preview.py", *flags, check=Exit.BAD_INPUT)
    assert done.stderr.startswith(f"error: --image {none} cannot be read")
    assert not Path(out).exists()


def test_every_picture_is_written_and_named(image, boxes, tiny_vit, tiny_sam, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    flags = ["--image", image, "--boxes", boxes, "--texts", *TEXTS, "--drawings", "P", "B1|D4", "--gallery"]
    models = ["--encoder", tiny_vit, "--segmenter", tiny_sam, "--device", "cpu"]
    assert run_job(PreviewOptions, preview, [*flags, *models, "--out", str(out)]) == Exit.COMPLETE
    told = capsys.readouterr().out
    names = [
        "candidates.png",
        "drawing-1-P.png",
        "drawing-2-B1.png",
        "drawing-3-D4.png",
        "gallery.png",
        "result.png",
    ]
    assert list(pictures(out)) == names
    assert {path.name for path in out.iterdir()} == {*names, "result.json"}
    assert all(f"{out}/{name}: " in told for name in [*names, "result.json"])
    assert "weights: unverified" in told and told.endswith("exit 0 (complete)\n")
    result = json.loads((out / "result.json").read_text())
    for found in result["results"]:
        assert f"  {found['text']}: region {found['region']}, {found['similarity']:.3f}" in told


def test_the_result_holds_what_was_found(run, boxes, image) -> None:
    _, result = run(boxes=boxes, texts=TEXTS, drawings=("P", "D4"))
    similarity = np.array(result["similarity"])
    assert similarity.shape == (3, 2) and (np.abs(similarity) <= 1).all()
    np.testing.assert_allclose(similarity, np.mean(result["similarity_by_drawing"], axis=0), atol=1e-12)
    assert [(r["region"], r["text"]) for r in result["results"]] == [
        (pair.region, TEXTS[pair.text]) for pair in assign(similarity)
    ]
    for found in result["results"]:
        assert found["box_xyxy"] == BOXES_XYXY[found["region"]]
        assert found["similarity"] == similarity[found["region"], TEXTS.index(found["text"])]
        rle = {"size": found["mask"]["size"], "counts": found["mask"]["counts"].encode()}
        assert decode_masks([rle], (HEIGHT, WIDTH)).shape == (1, HEIGHT, WIDTH)
    assert result["candidates_xyxy"] == BOXES_XYXY and result["texts"] == list(TEXTS)
    assert result["weights"] == "unverified" and result["options"]["assign"] == "one-to-one"
    assert [drawing["prompt"] for drawing in result["drawings"]] == ["crop", "blur_mask"]
    assert result["image_sha256"] == hashlib.sha256(Path(image).read_bytes()).hexdigest()
    assert result["image_size_hw"] == [HEIGHT, WIDTH]


def test_similarities_are_those_of_one_view_at_a_time(run, boxes, image, tiny_vit) -> None:
    """CLIP's own normalisation, the lower-cased text in the template, the cosine without a scale."""
    _, result = run(boxes=boxes, texts=TEXTS, drawings=("C3",))
    encoder = resolve_encoder(tiny_vit)
    model = ClipModel(encoder, local_file(encoder.weights), "cpu")
    boxes_xywh = np.array(BOXES_XYXY) - np.array([[0, 0, b[0], b[1]] for b in BOXES_XYXY])
    views = ImageViews(Image.open(image).convert("RGB"), boxes_xywh)
    inputs = views.views(variant("C3"), model.size_px, model.mean, model.std)
    for region in range(3):
        for index, text in enumerate(TEXTS):
            a = model.encode_images(inputs[region : region + 1])[0].double()
            b = model.encode_texts([f"a photo of a {text.lower()}"])[0].double()
            expected = float(a @ b / (a.norm() * b.norm()))
            assert result["similarity"][region][index] == pytest.approx(expected, abs=1e-6)


def test_attention_is_changed_and_shown(run, boxes, capsys) -> None:
    drawings = ("I", "I+FA(alpha=3)", "falip_circle+FA(layers=2)")
    out, result = run(boxes=boxes, texts=TEXTS, drawings=drawings, attention=True)
    raw, foveal, _ = np.array(result["similarity_by_drawing"])
    assert (raw == raw[0]).all() and np.ptp(foveal, axis=0).min() > 1e-4
    assert f"{out / 'attention.png'}: attention before and after the mask" in capsys.readouterr().out
    sheet = pictures(out)["attention.png"]
    alone = pictures(run(boxes=boxes, texts=TEXTS, drawings=drawings[1:2], attention=True)[0])
    # The mean and two blocks side by side, two rows a region; the second drawing lies below.
    assert sheet.shape[1] == alone["attention.png"].shape[1] > 3 * 260
    assert (sheet[: len(alone["attention.png"])] == alone["attention.png"]).all()
    assert len(sheet) == 2 * len(alone["attention.png"])


def test_attention_that_cannot_be_shown_is_refused(image, boxes, tiny_vit, tiny_resnet, tmp_path, capsys):
    def refused(*flags: str) -> str:
        common = ["--image", image, "--boxes", boxes, "--device", "cpu", "--out", str(tmp_path / "out")]
        assert run_job(PreviewOptions, preview, [*common, *flags]) == Exit.BAD_INPUT
        return capsys.readouterr().err

    asked = ["--texts", *TEXTS, "--attention"]
    unmasked = refused(*asked, "--encoder", tiny_vit, "--drawings", "I", "P")
    assert "--attention: no drawing of --drawings has a mask to show; add one, such as I+FA" in unmasked
    resnet = refused(*asked, "--encoder", tiny_resnet, "--drawings", "I+FA")
    assert "--drawings I+FA, encoder tiny-rn: " in resnet and "ModifiedResNet" in resnet
    textless = refused("--attention", "--gallery", "--drawings", "I+FA")
    assert "--attention: say with --texts what to look for" in textless


def test_without_drawings_that_need_masks_no_segmenter_is_used(run, boxes) -> None:
    out, result = run(boxes=boxes, texts=TEXTS[:1], drawings=("P",), segmenter="nonsense")
    assert result["results"][0]["mask"] is None and len(result["models"]) == 1
    assert list(pictures(out)) == ["candidates.png", "drawing-1-P.png", "result.png"]


def test_more_texts_than_regions(run, boxes, capsys) -> None:
    texts = ("one", "two", "three", "four")
    _, result = run(boxes=boxes, texts=texts, drawings=("P",), assign="one-to-one")
    assert len(result["results"]) == 3 and len({found["region"] for found in result["results"]}) == 3
    assert capsys.readouterr().out.count(": no region") == 1
    _, result = run(boxes=boxes, texts=texts, drawings=("P",), assign="argmax")
    best = np.array(result["similarity"]).argmax(axis=0).tolist()
    assert [found["region"] for found in result["results"]] == best


def proposal(box_xywh: list[float], columns: slice) -> GridProposal:
    mask_HW = np.zeros((96, 128), dtype=bool)
    mask_HW[10:60, columns] = True
    return GridProposal(np.array(box_xywh), mask_HW, 0.9)


def test_sam_proposes_where_no_boxes_are_given(run, monkeypatch) -> None:
    """A proposal without area is dropped, as in the pipeline; masks are those of the grid."""
    found = [
        proposal([9.5, 9.5, 20, 46], slice(10, 31)),
        proposal([9, 9, 0, 40], slice(9, 10)),
        proposal([50, 9.5, 60, 46], slice(53, 118)),
    ]
    seen = {}
    monkeypatch.setattr(
        sam,
        "grid_proposals",
        lambda _, image, settings: seen.update(s=settings) or found,
    )
    out, result = run(texts=TEXTS, drawings=("D4",), gallery=True)
    kept = np.array([found[0].box_xywh, found[2].box_xywh])
    assert result["candidates_xyxy"] == xywh_to_xyxy(kept).tolist()
    assert seen["s"].min_area_px == result["models"][1]["min_area_px"] > 0
    for row in result["results"]:
        rle = {"size": row["mask"]["size"], "counts": row["mask"]["counts"].encode()}
        inside = decode_masks([rle], (HEIGHT, WIDTH))[0].sum()
        expected = found[row["region"] * 2].mask_HW.sum() * (HEIGHT * WIDTH) / (96 * 128)
        assert inside == pytest.approx(expected, rel=0.05)
    assert "gallery.png" in pictures(out)


def test_regions_at_given_points(run, tmp_path, capsys) -> None:
    """Random weights may find nothing at a point; every region has the box of its mask."""
    points = tmp_path / "points.json"
    points.write_text("[[20, 30], [90, 60]]")
    _, result = run(texts=TEXTS, drawings=("D4",), points=str(points), assign="argmax")
    count = len(result["candidates_xyxy"])
    assert count <= 2 and f"{count} regions from {points}" in capsys.readouterr().out
    assert len(result["results"]) == (2 if count else 0)


def test_an_image_without_proposals_has_an_empty_result(run, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sam, "grid_proposals", lambda *_: [])
    out, result = run(texts=TEXTS, drawings=("D4", "P"))
    assert result["results"] == [] and result["similarity"] == [] and result["candidates_xyxy"] == []
    assert capsys.readouterr().out.count(": no region") == 2
    drawn = pictures(out)
    assert (drawn["result.png"] == drawn["candidates.png"]).all()
    assert drawn["result.png"].shape == (600, 800, 3)


def test_a_real_grid_runs(run) -> None:
    _, result = run(texts=TEXTS, drawings=("D4",))
    assert len(result["similarity"]) == len(result["candidates_xyxy"])


def test_a_gallery_needs_neither_texts_nor_an_encoder(run, boxes) -> None:
    out, _ = run(boxes=boxes, gallery=True, encoder="nonsense")
    assert [path.name for path in out.iterdir()] == ["gallery.png"]
    (figure,) = pictures(out).values()
    assert figure.shape[1] > 1200 and len(np.unique(figure.reshape(-1, 3), axis=0)) > 1000


def test_the_same_command_writes_the_same_bytes(run, boxes) -> None:
    first = {
        path.name: path.read_bytes() for path in run(boxes=boxes, texts=TEXTS, gallery=True)[0].iterdir()
    }
    again = {
        path.name: path.read_bytes() for path in run(boxes=boxes, texts=TEXTS, gallery=True)[0].iterdir()
    }
    assert first == again and len(first) == 5


def test_a_drawing_in_the_color_of_the_text(run, boxes, tiny_vit, image):
    """Every text is compared with regions in its own colour, and the sheets show them."""
    out, result = run(boxes=boxes, texts=TEXTS, drawings=("C2(mask_color=text,alpha=1)", "P"))
    sheets = [name for name in pictures(out) if name.startswith("drawing-")]
    assert len(sheets) == len(TEXTS) + 1

    encoder = resolve_encoder(tiny_vit)
    model = ClipModel(encoder, local_file(encoder.weights), "cpu")
    expected = []
    for text in TEXTS:
        (text_D,) = model.encode_texts([f"a photo of a {text.lower()}"])
        drawing = variant("C2", mask_color=text_color(text_D.numpy()), alpha=1.0)
        with Image.open(image) as picture:
            views = ImageViews(picture.convert("RGB"), to_xywh(np.array(BOXES_XYXY)))
        features_ND = model.encode_images(views.views(drawing, model.size_px, model.mean, model.std))
        unit = features_ND / features_ND.norm(dim=1, keepdim=True)
        expected.append((unit @ (text_D / text_D.norm())).tolist())
    found, _ = result["similarity_by_drawing"]
    assert np.allclose(found, np.transpose(expected), atol=1e-5)
    assert not np.allclose(expected[0], expected[1], atol=1e-3)
