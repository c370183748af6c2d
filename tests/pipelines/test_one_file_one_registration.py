"""A dataset, an encoder, a segmenter and a task of somebody else's: one registration each, then every job."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from infra.dataset.shards import read_manifest
from infra.run.options import Exit
from operators.datasets.formats.annotations import AnnotatedRef, Sentence
from operators.datasets.formats.folder import Folder, Found, SplitReader
from operators.datasets.registry import DATASETS, Dataset, SplitSize
from operators.encode import encoder as encoders
from operators.encode.encoder import EncoderKind
from operators.methods.models import Encoder, Segmenter
from operators.segment import segmenter as segmenters
from operators.segment.segmenter import SegmenterKind
from operators.tasks import task as tasks
from operators.tasks.task import task_of
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark

PURE = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SIDE_PX = 30


def open_squares(folder: Folder, dataset: str) -> SplitReader:
    """Read a layout of our own: `<split>.json` with one picture a line."""

    def read(split: str) -> Found | None:
        name = f"{split}.json"
        if name not in folder.names():
            return None
        refs = []
        for number, entry in enumerate(json.loads(folder.read(name))):
            gold = tuple((str(i), tuple(box)) for i, box in enumerate(entry["boxes"]))
            for target, color in enumerate(entry["colors"]):
                refs.append(
                    AnnotatedRef(
                        dataset=dataset,
                        split=split,
                        ref_id=f"{number}-{target}",
                        image_file=entry["file"],
                        image_id=str(number),
                        gold=gold,
                        target_ids=(str(target),),
                        sentences=(Sentence(None, color),),
                        place=f"{folder.place(name)}[{number}]",
                    )
                )
        return Found(refs, folder.place(name))

    return read


class MeanColor:
    """An encoder that knows colours: the mean of a picture, and the colour a text names."""

    size_px, dimensions, logit_scale = 16, 3, 100.0
    mean, std, interpolation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bicubic"
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, encoder: Encoder, path: str, device: str) -> None:
        assert encoder.architecture == "mean" and Path(path).read_bytes() == b"no parameters"

    def encode_images(self, views: Tensor) -> Tensor:
        return views.mean((2, 3))

    def encode_texts(self, texts) -> Tensor:
        return torch.tensor([PURE[text.split()[-1]] for text in texts]).float()

    def count_truncated(self, texts) -> int:
        return 0


class WholeBox:
    """A segmenter whose masks are the boxes themselves."""

    frame_px = 64

    def __init__(self, segmenter: Segmenter, path: str, device: str) -> None:
        assert segmenter.frame_px == self.frame_px

    def segment(self, image_HWC, boxes_xyxy):
        height, width = (round(side * self.frame_px / max(image_HWC.shape)) for side in image_HWC.shape[:2])
        masks = np.zeros((len(boxes_xyxy), height, width), bool)
        scale = self.frame_px / max(image_HWC.shape)
        for mask, (x1, y1, x2, y2) in zip(
            masks, np.rint(np.array(boxes_xyxy) * scale).astype(int), strict=True
        ):
            mask[y1:y2, x1:x2] = True
        return masks


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Three pictures of three pure squares each, in the layout of `open_squares`."""
    entries = []
    for number in range(3):
        pixels = np.zeros((64, 120, 3), np.uint8)
        colors = list(np.roll(list(PURE), number))
        boxes = [[5 + 38 * i, 10, SIDE_PX, SIDE_PX] for i in range(3)]
        for (x, y, w, h), color in zip(boxes, colors, strict=True):
            pixels[y : y + h, x : x + w] = PURE[color]
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        entries.append({"file": f"{number}.png", "boxes": boxes, "colors": colors})
    (tmp_path / "val.json").write_text(json.dumps(entries))
    (tmp_path / "weights.bin").write_bytes(b"no parameters")
    return tmp_path


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (DATASETS, encoders.KINDS, segmenters.KINDS, tasks.TASKS):
        registry.all()  # ours first, so that they stay when the additions go
        monkeypatch.setattr(registry, "_values", dict(registry._values))
    DATASETS.add(
        "squares",
        Dataset(
            name="squares",
            title="Pure squares",
            paper="none",
            licence="ours",
            origin="this test",
            images="drawn here",
            splits=MappingProxyType({"val": SplitSize(3, 9, 9)}),
            layouts=MappingProxyType({"plain": open_squares}),
        ),
    )
    encoders.register("colors", EncoderKind(MeanColor, lambda *_: None, lambda _: 0, lambda *_: {}))
    kind = SegmenterKind(
        WholeBox, lambda *_: None, lambda _: {"frame_px": WholeBox.frame_px, "min_area_px": 0}
    )
    segmenters.register("boxes", kind)


def test_all_of_them_through_the_jobs_that_exist(squares: Path, registered, capsys) -> None:
    assert "squares: Pure squares" in PrepareOptions.about()
    prepared = PrepareOptions(
        images=str(squares),
        out=str(squares / "shards"),
        source=(f"plain={squares}",),
        datasets=("squares",),
        executor="inline",
    )
    assert prepare(prepared) == Exit.COMPLETE
    assert "squares/val: 3/9/9 images/refs/expressions (as published)" in capsys.readouterr().out
    assert [split.name for split in read_manifest(prepared.out).splits] == ["squares/val"]
    run = BenchmarkOptions(
        data=prepared.out,
        out=str(squares / "out"),
        methods=("P", "D4"),
        proposals=("gold",),
        encoders=(f"colors:mean:{squares / 'weights.bin'}",),
        segmenter=f"boxes:plain:{squares / 'weights.bin'}",
        executor="inline",
    )
    assert benchmark(run) == Exit.COMPLETE
    lines = capsys.readouterr().out.splitlines()
    rows = [
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if line.startswith("| ") and "colors:mean" in line
    ]
    assert [(row[1], row[6].split()[0].strip("*"), row[7]) for row in rows] == [
        ("P", "100.0", "9"),
        ("D4", "100.0", "9"),
    ]


def test_a_name_can_be_taken_once(registered) -> None:
    kind = encoders.KINDS.find("colors")
    with pytest.raises(ValueError, match="there is a kind of encoder 'colors' already"):
        encoders.register("colors", kind)


def test_a_task_counts_what_its_scorer_answers(registered) -> None:
    from operators.methods.catalog import find_method
    from operators.methods.products import Predictions

    class Guesses(Predictions):
        task = "guess"

    guess = tasks.Task("guess", "guesses", make_scorer=lambda report: None, count=lambda parts: {})
    tasks.register(guess)
    product = Guesses(method=find_method("first-box"), encoders=(), proposals="gold", splits=())
    assert task_of(product) is guess
    assert task_of(Predictions(**dict(product))).units == "expressions"
