"""Write the report of a finished run: tables, figures, what CLIP was shown, examples, provenance.

Example: python pipelines/report.py --run out/runs/20260101T120000.000000Z-0123456789ab
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from infra.errors import InputError
from infra.files import storage
from infra.report.reader import ReportReader
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.run.record import read_run

REPORT = "report.html"


class ReportOptions(Options):
    """Write the report of a finished run: one HTML file that opens from disk and from e-mail."""

    run: str
    """Folder of the run, <out>/runs/<time>-<plan>; any fsspec URL."""
    out: str | None = None
    """File to write; report.html in the run's folder by default."""
    data: str | None = None
    """Where the shards lie now, if they were moved since the run."""
    artifacts: str | None = None
    """Where the artifacts lie now, if they were moved since the run."""


def report(options: ReportOptions) -> int:
    """Write the report and return the exit status.

    Raises:
        InputError: if the run is absent or incomplete, or its parts or shards are not there any more.
    """
    written = write_report(options.run, options.out, data=options.data, artifacts=options.artifacts)
    print(f"report: {written}", flush=True)
    return Exit.COMPLETE


def write_report(
    run: str, out: str | None = None, *, data: str | None = None, artifacts: str | None = None
) -> str:
    """Make the report of a finished run; the same parts give the same bytes.

    Args:
        run: the run's folder.
        out: file to write; `report.html` in the run's folder by default.
        data: where the shards lie, if not where the run found them.
        artifacts: where the parts lie, if not where the run left them.

    Returns:
        The file.

    Raises:
        InputError: as `report`.
    """
    finished = read_run(run, data, artifacts)
    url = storage.absolute(out) if out else storage.join(finished.folder, REPORT)
    if storage.exists(url) and storage.file_info(url)["type"] == "directory":
        raise InputError(f"--out {url} is a folder; name a file in it")
    storage.require_writable(posixpath.dirname(url))
    storage.write_bytes(url, ReportReader(finished).page())
    return url


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(ReportOptions, report, argv)


if __name__ == "__main__":
    sys.exit(main())
