"""prompt_ablation: one image pass a setting, what was added alone, tables that agree with the benchmark."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny_models

from infra.run.command_line import run_job
from infra.run.options import Exit
from operators.tables.falip import falip_methods, falip_rows
from pipelines.prepare_refcoco import PrepareOptions, prepare
from pipelines.prompt_ablation import AblationOptions, ablate

THICKNESSES = "thickness_px=1,2,3,4,5,6"


@pytest.fixture(scope="module")
def shards(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("shards"))
    common = {"images": str(drawn / "images"), "reclip": str(drawn / "reclip"), "executor": "inline"}
    prepare(PrepareOptions(out=out, images_per_shard=2, **common))
    return out


def options(shards: str, out: Path, encoder: str, **other: object) -> AblationOptions:
    common = {"proposals": ("gold",), "limit": 2, "executor": "inline", "threads": 1, "encoders": (encoder,)}
    return AblationOptions(data=shards, out=str(out), **(common | other))


def newest_run(out: Path) -> Path:
    return max((out / "runs").iterdir())


def counts(out: Path) -> dict[str, int]:
    return json.loads((newest_run(out) / "run.json").read_text())["counts"]


def rows(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


@pytest.mark.timeout(300)
def test_a_grid_that_grows_costs_what_was_added(shards, tiny_vit, tiny_sam, tmp_path: Path, capsys) -> None:
    scales = "contour_scale=1,1.2,1.4,1.6"
    grid = options(
        *(shards, tmp_path, tiny_vit),
        segmenter=tiny_sam,
        drawings=("D1(canvas_px=64)", "I"),
        grid=(THICKNESSES, scales),
    )
    assert ablate(grid) == Exit.COMPLETE
    first, tables = counts(tmp_path), newest_run(tmp_path) / "tables"
    printed = capsys.readouterr().out
    assert "25 settings in the grid, 25 distinct methods" in printed
    assert "I has no thickness_px, contour_scale" in printed
    images, regions = first["images encoded"], (first["views encoded"] - first["images encoded"]) / 24
    assert first["images segmented"] == images == 2  # once, whatever is drawn
    assert regions > images  # 24 settings show every region, I every image

    ours = {(r["Method"]): r for r in rows_of_markdown(tables / "accuracy.md")}
    settings = rows(tables / "ablation.csv")
    assert {r["method"] for r in settings} == set(ours)
    for row in settings:
        shown = ours[row["method"]][f"{row['dataset']} {row['split']}"]
        assert shown.split()[0].strip("*") == one_decimal(row["accuracy_percent"])
    # Two images: no interval lies above all others.
    assert "**" not in (tables / "ablation.md").read_text()
    tabulars = (tables / "ablation.tex").read_text()
    assert tabulars.count(r"\begin{tabular}{lrrrr}") == tabulars.count("% D1") > 0
    report = (newest_run(tmp_path) / "report.html").read_text()
    assert "<h2>Ablation</h2>" in report and "thickness_px × contour_scale" in report
    pictures = [path.name for path in tables.glob("*.svg")]
    assert pictures == ["ablation-01-D1_canvas_px_64_-thickness_px-contour_scale.svg"]
    assert all(f"tables/{path.name}" in printed for path in tables.glob("ablation*"))

    more = grid.model_copy(update={"grid": (THICKNESSES + ",7", scales)})
    assert ablate(more) == Exit.COMPLETE
    second = counts(tmp_path)
    assert second["views encoded"] == 4 * regions
    assert second["expressions scored"] * 25 == 4 * first["expressions scored"]
    assert not {"images segmented", "texts encoded"} & set(second)
    assert len(rows(newest_run(tmp_path) / "tables/ablation.csv")) == len(settings) * 29 / 25


def one_decimal(percent: str) -> str:
    return f"{float(percent):.1f}" if percent else "–"


def rows_of_markdown(table: Path) -> list[dict[str, str]]:
    lines = [
        line.replace(r"\|", "/").strip("| ").split("|") for line in table.read_text().splitlines() if line
    ]
    headers, _, *body = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(headers, cells, strict=True)) for cells in body]


@pytest.mark.timeout(300)
def test_falip_tables_take_one_pass_per_distinct_setting(shards, tmp_path: Path, capsys) -> None:
    vision = tiny_models.VIT["vision_cfg"] | {"layers": 6}
    encoder = tiny_models.write_clip(tmp_path / "six", tiny_models.VIT | {"vision_cfg": vision}, seed=1)
    assert ablate(options(shards, tmp_path, encoder, falip_tables=True)) == Exit.COMPLETE
    features = list((tmp_path / "artifacts/features").iterdir())
    assert len(features) == len(falip_methods()) - 1  # "no mask" needs none
    table = rows(newest_run(tmp_path) / "tables/falip.csv")
    ran = {(row["table"], row["row"]) for row in table if row["accuracy_percent"]}
    assert ran == {(str(row.table), row.label) for row in falip_rows()}
    (row,) = [r for r in table if (r["row"], r["dataset"], r["split"]) == ("sigma 1", "refcoco", "val")]
    assert row["published_percent"] == "35.1"
    assert "weights" in row["differs_in"]
    assert "### Table 12" in capsys.readouterr().out


def test_options_come_from_a_file_too(shards, tiny_vit, tmp_path: Path, capsys) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text('drawings: [C4, C1]\ngrid: ["sigma_px=1,2", "thickness_px=1,2"]\npost: [none, S]\n')
    command = [
        "--config",
        str(file),
        "--data",
        shards,
        "--out",
        str(tmp_path / "out"),
        "--encoders",
        tiny_vit,
    ]
    assert run_job(AblationOptions, ablate, [*command, "--plan"]) == Exit.COMPLETE
    assert "8 settings in the grid" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "nothing to score; name --drawings and --grid, or --falip-tables"),
        (["--grid", "sigma_px=1"], "--grid needs the drawings"),
        (["--drawings", "D4", "--grid", "sigma_px"], "--grid: 'sigma_px' is not written like"),
        (["--drawings", "D4", "--grid", "sigma=1"], "nearest: sigma_px"),
        (["--drawings", "D4", "--grid", "sigma_px=wide"], "'sigma_px' takes a number"),
        (["--drawings", "D44", "--grid", "sigma_px=1"], "unknown visual prompt 'D44'"),
        (["--drawings", "D4", "--post", "T"], "unknown post-processing 'T'; known: none, S, R, RS"),
        (["--drawings", "P", "--methods", "P|crap"], "--methods"),
    ],
)
def test_bad_input_ends_with_2(shards, tiny_vit, tmp_path: Path, capsys, flags, expected) -> None:
    common = ["--data", shards, "--out", str(tmp_path), "--encoders", tiny_vit, "--executor", "inline"]
    assert run_job(AblationOptions, ablate, [*common, *flags]) == Exit.BAD_INPUT
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
