"""The report of a real run over hostile expressions: safe, self-contained, repeatable, made without Ray."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from infra.run.command_line import run_job
from infra.run.options import Exit
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.refcoco_full import BenchmarkOptions, benchmark
from pipelines.report import REPORT, ReportOptions, report, write_report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd()",
    "\\input{/etc/passwd} $&%#_{}~^\\",
    "‮right to left‏ blob",
    "javascript:alert(1) http://example.com/x",
]
MAX_BYTES = 5_000_000
VOID = {"meta", "img"}


@pytest.fixture(scope="module")
def run(drawn: Path, tiny_vit: str, tiny_sam: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few methods over hostile expressions, one picture of which is cut short."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(drawn, folder / "drawn")
    for file in sorted((folder / "drawn/reclip").glob("*.jsonl")):
        refs = [json.loads(line) for line in file.read_text().splitlines()]
        for number, sentence in enumerate(s for ref in refs for s in ref["sentences"]):
            sentence["raw"] = HOSTILE[number % len(HOSTILE)] if number else "very long " * 900
        file.write_text("\n".join(map(json.dumps, refs)) + "\n")
    spoiled = sorted((folder / "drawn/images").iterdir())[1]
    spoiled.write_bytes(spoiled.read_bytes()[:300])
    prepare(
        PrepareOptions(
            images=str(folder / "drawn/images"),
            reclip=str(folder / "drawn/reclip"),
            out=str(folder / "shards"),
            images_per_shard=2,
            executor="inline",
        )
    )
    options = BenchmarkOptions(
        data=str(folder / "shards"),
        out=str(folder / "out"),
        encoders=(tiny_vit,),
        segmenter=tiny_sam,
        methods=("first-box", "P", "D4,S", "I+FA(alpha=2)"),
        proposals=("detections",),
        seeds=(3, 5),
        executor="inline",
    )
    assert benchmark(options) == Exit.QUARANTINE_ABOVE_LIMIT
    (finished,) = (folder / "out/runs").iterdir()
    return finished


pytestmark = pytest.mark.timeout(400)  # the first test waits for a whole run, on a busy machine too


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    """The report as written into the run's folder."""
    assert report(ReportOptions(run=str(run))) == Exit.COMPLETE
    return (run / REPORT).read_text()


class Page(HTMLParser):
    """Reads a page: every tag with its attributes, the text, and whether tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def images(self) -> list[str]:
        return [attrs["src"] for tag, attrs in self.tags if tag == "img"]


def test_nothing_runs_and_nothing_is_loaded(page: str) -> None:
    read = Page(page)
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "svg"} & {
        t for t, _ in read.tags
    }
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset")]
        for name in {"href", "src", "action", "data", "poster", "background"} & set(attributes):
            address = attributes[name]
            ours = address.startswith("data:image/") if tag == "img" else re.fullmatch(r"#[\w-]+", address)
            assert ours, (tag, name, address[:60])
    targets = {attributes["href"][1:] for tag, attributes in read.tags if tag == "a"}
    assert targets <= {attributes.get("id") for _, attributes in read.tags}
    assert len(page.encode()) < MAX_BYTES


def test_every_picture_loads(page: str) -> None:
    read = Page(page)
    images = read.images()
    kinds = {"image/jpeg": 0, "image/svg+xml": 0}
    for uri in images:
        kind, content = re.fullmatch(r"data:([\w/+]+);base64,([\w+/=]+)", uri).groups()
        data = base64.b64decode(content, validate=True)
        kinds[kind] += 1
        if kind == "image/jpeg":
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                assert image.format == "JPEG"
                assert not image.getexif()
        else:
            _require_harmless_svg(data)
    assert kinds["image/svg+xml"] == 2  # two datasets
    cards = sum(tag == "article" for tag, _ in read.tags)
    strips = sum(attributes.get("class") == "strip-name" for _, attributes in read.tags)
    assert kinds["image/jpeg"] == cards + strips
    # Three drawings of two images, and of one attention before and after its mask, and what it gained.
    assert (cards >= 6, strips) == (True, 3 * 2 + 3 * 2)


def _require_harmless_svg(data: bytes) -> None:
    assert b"<!" not in data
    for element in ElementTree.fromstring(data).iter():
        assert element.tag.rpartition("}")[2] not in (
            "script",
            "foreignObject",
            "image",
            "a",
            "animate",
            "set",
        )
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert not name.endswith("href") or value.startswith("#")


def test_hostile_expressions_are_shown_as_text(page: str) -> None:
    text = Page(page).text
    for expression in HOSTILE:
        assert expression in text, expression
    assert any(part.startswith("very long very long") and part.endswith("(9000 characters)") for part in text)


def test_tables_hold_no_expression_and_no_formula(run: Path) -> None:
    tables = {path.name: path.read_text() for path in (run / "tables").iterdir()}
    assert {"accuracy.md", "accuracy.csv", "accuracy.tex"} <= tables.keys()
    assert not [
        cell
        for row in csv.reader(io.StringIO(tables["accuracy.csv"]))
        for cell in row
        if cell[:1] in "=+@" and cell
    ]
    assert tables["accuracy.tex"].startswith("\\begin{tabular}{lllll")
    assert "D4,S & D4 & " in tables["accuracy.tex"]


def test_says_what_was_set_aside_and_where_everything_comes_from(run: Path, page: str) -> None:
    text = Page(page).text
    record = json.loads((run / "run.json").read_text())
    assert "image.truncated" in text
    assert "exit 3, quarantine above limit" in text
    for weights in record["weights"].values():
        assert weights["sha256"] in text
    assert any("unverified" in part for part in text)
    ledger = next(iter(record["ledger"].values()))
    assert str(ledger["quarantined"]) in text
    for name in ("P", "D4", "D4,S"):
        assert name in text
    assert {"right", "wrong"} <= set(text)


def test_the_same_parts_give_the_same_bytes_in_another_process_without_ray(
    run: Path, page: str, run_recipe, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.argv[0] = 'pipelines/report.py'\n"
        "import runpy\n"
        "try: runpy.run_path('pipelines/report.py', run_name='__main__')\n"
        "except SystemExit as left: assert not left.code, left\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'ray']"
    )
    again = tmp_path / "sub" / "again.html"
    done = run_recipe("-c", code, "--run", str(run), "--out", str(again), PYTHONHASHSEED="7", timeout_s=300)
    assert f"report: {again}" in done.stdout
    assert again.read_text() == page


def test_is_rebuilt_after_everything_was_moved(run: Path, page: str, tmp_path: Path) -> None:
    home = run.parents[2]
    for name in ("shards", "out/artifacts"):
        shutil.copytree(home / name, tmp_path / "moved" / name)
    moved = {"data": str(tmp_path / "moved/shards"), "artifacts": str(tmp_path / "moved/out/artifacts")}
    assert Path(write_report(str(run), str(tmp_path / "a.html"), **moved)).read_text() == page


def copied(run: Path, tmp_path: Path, **changes: object) -> str:
    folder = tmp_path / "runs/copy"
    folder.mkdir(parents=True)
    record = json.loads((run / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(record))
    return str(folder)


def test_attention_is_left_out_where_the_weights_are_not(run: Path, page: str, tmp_path: Path) -> None:
    assert "I+FA(alpha=2) · tiny-vit · " in page and "mean of blocks 1, 2" in page
    record = json.loads((run / "run.json").read_text())
    plan = json.dumps(record["plan"])
    sources = set(re.findall(r'"source": "([^"]*open_clip_model[^"]*)"', plan))
    assert len(sources) == 1
    moved = json.loads(plan.replace(sources.pop(), "/nowhere/open_clip_model.safetensors"))
    again = Path(write_report(copied(run, tmp_path, plan=moved), str(tmp_path / "a.html"))).read_text()
    assert "tiny-vit: weights not found on this machine" in again and "mean of blocks" not in again
    assert len(Page(again).images()) == len(Page(page).images()) - 3 * 2


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_job(ReportOptions, report, list(arguments)) == Exit.BAD_INPUT
    return capsys.readouterr().err


def test_a_run_that_cannot_be_reported_says_why(run: Path, tmp_path: Path, capsys) -> None:
    plan = json.loads((run / "run.json").read_text())["plan"]
    assert "name a run's folder" in failure(capsys, "--run", str(tmp_path))
    incomplete = copied(run, tmp_path / "1", exit=5)
    assert "the run is incomplete" in failure(capsys, "--run", incomplete)
    old = copied(run, tmp_path / "2", plan=None)
    assert "not the record of a run of this version" in failure(capsys, "--run", old)
    gone = copied(run, tmp_path / "3", plan=plan | {"artifacts": str(tmp_path / "none")})
    assert "name their folder with --artifacts" in failure(capsys, "--run", gone)
    without_data = failure(
        capsys, "--run", str(run), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "x")
    )
    assert "does not exist" in without_data
    (tmp_path / "4").mkdir()
    (tmp_path / "4/run.json").write_text("{")
    assert "not the record of a run" in failure(capsys, "--run", str(tmp_path / "4"))
