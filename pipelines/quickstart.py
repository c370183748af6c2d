"""See the whole job work in a minute, without a download: drawn scenes, small models, a report.

Example: python pipelines/quickstart.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from pydantic import Field

from infra.dataset.scenes import prepare_scenes
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import ExecutorOptions, Exit
from operators.methods.catalog import NAMED
from operators.methods.method import PHOTO
from operators.prompts import registered_prompts
from pipelines.refcoco_full import BenchmarkOptions, run_benchmark

METHODS = ("I", "P", "C1", "D4", "P|D4", "P|D4,S", "P|D4,R", "I+FA")
CLIP, SAM = "clip-shapes", "sam-shapes"


class QuickstartOptions(ExecutorOptions):
    """Make synthetic scenes, score visual prompts on them with small bundled models, and write a report."""

    threads: Annotated[int, Field(ge=1)] = 1
    """Torch threads of one model actor; with one each, SAM and CLIP share two cores without waiting."""
    out: str = "quickstart-out"
    """Folder for everything: scenes, results, report."""
    scenes: Annotated[int, Field(ge=3)] = 100
    """Pictures to make, over the splits val, testA and testB."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the scenes. The bundled models were trained on others, whatever the number."""
    all: bool = False
    """Score every method and every drawing, not the fixed few."""
    readme: str | None = None
    """Folder of a checkout whose README.md gets the table and the pictures."""


def quickstart(options: QuickstartOptions) -> int:
    """Run the quickstart and return the exit status of its benchmark."""
    started_s = time.monotonic()
    data = storage.join(options.out, f"scenes-{options.scenes}-seed{options.seed}")
    prepare_scenes(data, options.scenes, options.seed)
    shared = {name: getattr(options, name) for name in ExecutorOptions.model_fields}
    status, run = run_benchmark(
        BenchmarkOptions(
            data=data,
            out=options.out,
            methods=every_method() if options.all else METHODS,
            encoders=(CLIP,),
            segmenter=SAM,
            **shared,
        )
    )
    if run is not None and status != Exit.INCOMPLETE:
        from pipelines.report import write_report  # with Matplotlib, which --help need not wait for

        print(f"report: {write_report(run)}")
        if options.readme:
            from infra.readme.quickstart import write_readme

            write_readme(options.readme, run)
    print(
        f"all of it took {time.monotonic() - started_s:.0f} s; accuracies are of tiny models on drawn shapes"
    )
    print("next: your own data and weights, see 'Run it on RefCOCO' in README.md", flush=True)
    return status


def every_method() -> tuple[str, ...]:
    """Return the quickstart's methods, every drawing, and catalogued methods whose words CLIP knows."""
    drawings = (prompt.code or prompt.name for prompt in registered_prompts().values())
    catalogued = (name for name, row in NAMED.items() if row.method.template == PHOTO)
    return tuple(dict.fromkeys([*METHODS, *drawings, *catalogued]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(QuickstartOptions, quickstart, argv)


if __name__ == "__main__":
    sys.exit(main())
