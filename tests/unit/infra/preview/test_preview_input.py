"""What a preview refuses, in one line each, before any checkpoint is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipelines.preview
from infra.errors import InputError
from infra.preview.input import MAX_REGIONS, read_boxes_xyxy, read_drawings, read_points_xy
from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.preview import PreviewOptions, preview

SIZE_WH = (80, 60)
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def image(tmp_path: Path) -> str:
    Image.new("RGB", SIZE_WH, "teal").save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


@pytest.fixture
def refused(image: str, tmp_path: Path, monkeypatch, capsys):
    """Run the job on bad input and return its one line; looking at a checkpoint fails the test."""

    def looked_at(*arguments: object) -> None:
        pytest.fail("a checkpoint was looked at")

    for name in ("resolve_encoder", "resolve_segmenter", "check_weights", "local_file"):
        monkeypatch.setattr(pipelines.preview, name, looked_at)

    def run(*flags: str) -> str:
        given = {"--image": image, "--out": str(tmp_path / "out")}
        argv = [part for name, value in given.items() if name not in flags for part in (name, value)]
        assert run_job(PreviewOptions, preview, [*argv, *flags]) == Exit.BAD_INPUT
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line

    return run


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("not json", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"boxes": []}', "expected 1 to 500 items, [[x1, y1, x2, y2],"),
        ("[]", "expected 1 to 500 items, [[x1, y1, x2, y2],"),
        (
            json.dumps([[0, 0, 1, 1]] * (MAX_REGIONS + 1)),
            "expected 1 to 500 items, [[x1, y1, x2, y2],",
        ),
        ("[1, 2, 3, 4]", "item 0 is 1; expected [["),
        ("[[1, 2, 3]]", "item 0 is [1, 2, 3]; expected [["),
        ("[[0, 0, 9, 9], [[1, 2, 3, 4]]]", "item 1 is [[1, 2, 3, 4]]; expected [["),
        ('[[1, 2, "3", 4]]', "expected [[x1, y1, x2, y2], ...] in pixels"),
        ("[[1, 2, true, 4]]", "expected [[x1, y1, x2, y2], ...] in pixels"),
        ("[[1, 2, null, 4]]", "expected [[x1, y1, x2, y2], ...] in pixels"),
        ("[[1, 2, NaN, 4]]", "is not finite, has no area, or lies outside"),
        ("[[1, 2, Infinity, 4]]", "is not finite, has no area, or lies outside"),
        (f"[[1, 2, {'9' * 400}, 4]]", "item 0 is [1, 2, 999"),
        ("[[5, 5, 5, 9]]", "has no area"),
        ("[[9, 5, 5, 9]]", "has no area"),
        (
            "[[0, 0, 9, 9], [80, 5, 90, 9]]",
            "item 1 [80.0, 5.0, 90.0, 9.0] is not finite, has no area, or lies outside",
        ),
    ],
)
def test_bad_boxes(refused, tmp_path: Path, content: str | bytes, told: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused("--texts", "dog", "--boxes", str(path))
    assert line.startswith(f"error: --boxes {path}: ") and told in line and len(line) < 900


def test_boxes_that_reach_out_are_kept_as_the_pipeline_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("[[-10, -5.5, 20, 30], [0, 0, 1e5, 60]]")
    assert read_boxes_xyxy(str(path), SIZE_WH).tolist() == [[-10, -5.5, 20, 30], [0, 0, 1e5, 60]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "expected 1 to 500 items, [[x, y], ...] in pixels"),
        ("[[1, 2, 3, 4]]", "item 0 is [1, 2, 3, 4]; expected [[x, y], ...]"),
        ("[[1, 2], [NaN, 3]]", "item 1 [nan, 3.0] is not in the image of 80 x 60 px"),
        ("[[80, 0]]", "item 0 [80.0, 0.0] is not in the image of 80 x 60 px"),
        ("[[0, -1]]", "is not in the image"),
    ],
)
def test_bad_points(refused, tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(content)
    line = refused("--texts", "dog", "--points", str(path))
    assert line.startswith(f"error: --points {path}: ") and told in line


def test_points_are_read_and_exclude_boxes(refused, tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_text("[[0, 59.5], [79, 0]]")
    assert read_points_xy(str(path), SIZE_WH).tolist() == [[0, 59.5], [79, 0]]
    assert "give one of them" in refused("--texts", "dog", "--points", str(path), "--boxes", str(path))


@pytest.mark.parametrize("flag", ["--image", "--boxes", "--points"])
def test_missing_files(refused, tmp_path: Path, flag: str) -> None:
    for path in (tmp_path / "none", tmp_path):
        line = refused("--texts", "dog", flag, str(path))
        assert line.startswith(f"error: {flag} {path} cannot be read")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no bytes"),
        (b"hello", "not a JPEG, PNG or WebP file"),
        (b"GIF89a", "GIF is not accepted"),
        (b"\x89PNG\r\n\x1a\n", "bytes"),
    ],
)
def test_bad_images(refused, tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    line = refused("--texts", "dog", "--image", str(path))
    assert line.startswith(f"error: --image {path}: ") and told in line


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "--texts: say what to look for"),
        (["--texts", "dog", "  "], "--texts: text 2 is blank"),
        (["--texts", "dog", "--template", "a photo"], "has no {} for the text"),
        (["--texts", "dog", "--drawings", "D9"], "'D9'; nearest: "),
        (["--texts", "dog", "--drawings", "P|nonsense"], "'nonsense'; nearest: "),
        (["--texts", "dog", "--drawings", "P|D4,S"], "--drawings P|D4,S: not a drawing"),
        (["--texts", "dog", "--drawings", "first-box"], "--drawings first-box: not a drawing"),
        (["--texts", "dog", "--drawings"], "--drawings: name at least one drawing"),
        (["--gallery", "--drawings", "D9"], "'D9'"),
    ],
)
def test_bad_texts_and_drawings(refused, flags: list[str], told: str) -> None:
    assert told in refused(*flags)


def test_an_unknown_model_or_a_folder_that_is_a_file_ends_with_exit_2(image, tmp_path, capsys) -> None:
    common = ["--image", image, "--texts", "dog"]
    out = ["--out", str(tmp_path / "out")]
    for flag in ("--encoder", "--segmenter"):
        models = {"--encoder": "ViT-B-32:none.pt", "--segmenter": "vit_b:none.pth"} | {flag: "nonsense"}
        argv = [*common, *out, *(part for pair in models.items() for part in pair)]
        assert run_job(PreviewOptions, preview, argv) == Exit.BAD_INPUT
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_drawings_are_listed_once_in_their_order() -> None:
    assert [drawing.code for drawing in read_drawings(["D4", "P|D4|B1", "P"])] == ["D4", "P", "B1"]


def test_a_gallery_shows_the_first_region_or_the_largest() -> None:
    masks = np.zeros((3, 4, 5), dtype=bool)
    masks[1, :2, :2] = masks[2, 0, :3] = True
    assert pipelines.preview._chosen(masks, first=False) == [1]
    assert pipelines.preview._chosen(masks, first=True) == [0]
    with pytest.raises(InputError, match="give a box with --boxes"):
        pipelines.preview._chosen(masks[:0], first=True)


def test_neither_ray_nor_torch_is_imported_to_read_options() -> None:
    program = "import pipelines.preview, sys; print([m for m in ('ray', 'torch') if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
