"""Score a grid over drawings and their parameters; tables and heat maps by every pair of parameters.

Example: python pipelines/prompt_ablation.py --data shards --out out --drawings D4 C1 "I+FA" \
    --grid sigma_px=25,50,100 contour_scale=1,1.2 alpha=0.1,0.2 --post none S --encoders ViT-B-16:openai
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from infra.errors import InputError
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit
from infra.run.record import FinishedRun, read_run
from operators.pictures.heatmaps import heatmap_figure
from operators.tables.ablation import grid_pivots, pivot_latex, pivot_markdown, settings_table
from operators.tables.ablation_grid import NO_POST, Grid, Pivot, expand, read_axis
from operators.tables.accuracy import Result, group_seeds
from operators.tables.falip import falip_methods, falip_tables
from operators.tables.metrics import count_predictions
from pipelines.refcoco_full import BenchmarkOptions, run_benchmark
from pipelines.report import write_report


class AblationOptions(BenchmarkOptions):
    """Score a grid of drawings and their parameters, and show accuracies by every pair of parameters."""

    drawings: tuple[str, ...] = ()
    """Drawings to vary, in paper notation without post-processing (quote it): D4, "I+FA", "P|D4"."""
    grid: tuple[str, ...] = ()
    """Parameters as NAME=VALUE,VALUE; ; parts values with commas in them; LAYER.NAME varies one layer."""
    post: tuple[str, ...] = (NO_POST,)
    """Post-processing of every setting: none, S, R, RS."""
    methods: tuple[str, ...] = ()
    """Further methods to score beside the grid, from the catalogue or in paper notation."""
    falip_tables: bool = False
    """Score the settings of FALIP's ablation tables 4, 5, 6, 10, 11, 12 beside the published numbers."""
    encoders: tuple[str, ...] = ("ViT-B-16:openai",)
    """As for the benchmark; by default the encoder of FALIP's tables."""


def ablate(options: AblationOptions) -> int:
    """Run an ablation and return its exit status (`infra.run.options.Exit`).

    Parts that exist are not made again, so a grid that grew costs what was added to it.

    Raises:
        InputError: for a grid that cannot be, and for everything else as `pipelines.refcoco_full.benchmark`.
    """
    grid = _grid(options)
    methods = [*(setting.method for setting in grid.settings), *options.methods]
    methods += falip_methods() if options.falip_tables else ()
    if not methods:
        raise InputError("nothing to score; name --drawings and --grid, or --falip-tables")
    distinct = tuple(dict.fromkeys(methods))
    print(f"ablation: {len(grid.settings)} settings in the grid, {len(distinct)} distinct methods in all")
    if options.drawings and not options.grid:
        print("ablation: nothing is varied; name parameters with --grid, such as sigma_px=10,50,100")
    for drawing in dict.fromkeys(drawing for drawing, _ in grid.skipped):
        names = ", ".join(name for skipping, name in grid.skipped if skipping == drawing)
        print(f"ablation: {drawing} has no {names}, or sets it itself, and does not vary it")
    status, folder = run_benchmark(options.model_copy(update={"methods": distinct}))
    if folder is not None and status != Exit.INCOMPLETE:
        _write(read_run(folder), grid, options.falip_tables)
    return status


def _grid(options: AblationOptions) -> Grid:
    if options.grid and not options.drawings:
        raise InputError("--grid needs the drawings that it varies; name them with --drawings")
    try:
        axes = [read_axis(text) for text in options.grid]
    except ValueError as problem:
        raise InputError(f"--grid: {problem}") from problem
    try:
        return expand(options.drawings, axes, options.post, options.masks)
    except ValueError as problem:
        raise InputError(f"--drawings, --grid: {problem}") from problem


def _write(run: FinishedRun, grid: Grid, with_falip: bool) -> None:
    counted = [(p, count_predictions(run.predictions(f).values())) for f, p in run.plan.predictions.items()]
    results = group_seeds(counted, run.plan.bank_sizes)
    files: dict[str, bytes] = {}
    if grid.settings:
        files |= _grid_files(grid, results, run.splits)
    if with_falip:
        for suffix, text in falip_tables(results, run.splits).items():
            files[f"tables/falip.{suffix}"] = text.encode()
    for name, content in files.items():
        url = storage.join(run.folder, name)
        storage.create_bytes(url, content)
        if name.endswith(".md"):
            print("\n" + content.decode())
        print(f"ablation: {url}", flush=True)
    print(f"report: {write_report(run.folder)}", flush=True)


def _grid_files(grid: Grid, results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    made = grid_pivots(grid.settings, results, splits)
    files = {"tables/ablation.csv": settings_table(grid.settings, results, splits).encode()}
    if made:
        files["tables/ablation.md"] = pivot_markdown(made).encode()
        files["tables/ablation.tex"] = pivot_latex(made).encode()
    for number, pivot in enumerate(made, start=1):
        files[f"tables/ablation-{number:02d}-{_slug(pivot)}.svg"] = heatmap_figure(pivot)
    return files


def _slug(pivot: Pivot) -> str:
    words = "-".join(filter(None, (pivot.drawing, pivot.rows.name, pivot.columns.name)))
    return "".join(c if c.isalnum() or c in "+-_." else "_" for c in words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(AblationOptions, ablate, argv)


if __name__ == "__main__":
    sys.exit(main())
