"""Say how a run is doing, from another terminal: shards, pace, nodes, GPUs, the end and the cost so far.

Example: python pipelines/status.py --out s3://bucket/out --watch
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

from infra.execution.vitals import ClusterState
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.run.provenance import utc_now
from infra.run.status import newest_run, read_status


class StatusOptions(Options):
    """Say how a run is doing. Reads its files, and the cluster's state with --address; disturbs neither."""

    out: str
    """The run's --out; the run that began last is told of."""
    run: str | None = None
    """Folder of another run, <out>/runs/<time>-<plan>."""
    address: str | None = None
    """Address of the cluster's head (HOST:PORT), to ask for its nodes and actors; needs no free CPU there."""
    watch: bool = False
    """Say it again every few seconds until the run has ended."""
    every_s: Annotated[float, Field(ge=1)] = 10.0
    """Seconds between two looks with --watch."""


def status(options: StatusOptions) -> int:
    """Print what there is to know and return the exit status.

    Raises:
        InputError: if there is no such run.
    """
    while True:
        folder = storage.absolute(options.run) if options.run else newest_run(options.out)
        found = read_status(folder)
        lines = found.lines(utc_now(), _cluster(options.address))
        width = max(len(name) for name, _ in lines)
        print("\n".join(f"{name:<{width}}  {value}" for name, value in lines), flush=True)
        if not options.watch or found.exit is not None:
            return Exit.COMPLETE
        time.sleep(options.every_s)
        print(flush=True)


def _cluster(address: str | None) -> ClusterState | None:
    if address is None:
        return None
    from infra.execution.cluster import state_of_cluster

    return state_of_cluster(address)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(StatusOptions, status, argv)


if __name__ == "__main__":
    sys.exit(main())
