"""Submit a job to a running cluster: say first what is uploaded, and end with the job's own exit status.

Example: python pipelines/submit.py -- python pipelines/refcoco_full.py --data s3://bucket/shards --out s3://bucket/out
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from pydantic import Field

from infra.errors import InputError
from infra.run.command_line import run_job
from infra.run.options import Exit, Options

CHECKOUT = Path(__file__).resolve().parents[1]
# Where data lies and how models are found; never a secret.
CARRIED = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
)
# Ray unpacks the checkout there before it installs packages.
UNPACKED = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"


class SubmitOptions(Options):
    """Submit a job to a running cluster; the job's command follows after `--`."""

    address: str = "http://127.0.0.1:8265"
    """Of the cluster's job server; `ray dashboard ray_cluster.yaml` brings it to this machine."""
    install: bool = False
    """Let every node install this project and what constraints.txt pins, where its image has not."""
    env: tuple[str, ...] = ()
    """Names of variables of this shell that the job gets too; the dashboard shows their values."""
    most_mib: Annotated[float, Field(gt=0)] = 50
    """Refuse to upload more than this, before compression."""
    follow: bool = True
    """Print the job's log until it ends; else only its number."""


def submit(options: SubmitOptions, command: Sequence[str]) -> int:
    """Submit the command and return its exit status.

    Raises:
        InputError: if there is no command, too much to upload, no such variable, nobody at the address, or no
            token for it.
    """
    from infra.execution.upload import measure_upload

    if not command:
        raise InputError("the job's command is missing; it follows after --")
    upload = measure_upload(CHECKOUT)
    print(f"working directory {CHECKOUT}: {upload.line()}", flush=True)
    if upload.mib > options.most_mib:
        raise InputError(
            f"{upload.mib:.0f} MiB are more than --most-mib {options.most_mib:g}; name data, results and "
            f"weights in {CHECKOUT / '.rayignore'}, or keep them elsewhere"
        )
    return _run(options, shlex.join(command), runtime_env(options))


def runtime_env(options: SubmitOptions) -> dict[str, Any]:
    """Return what Ray sets up on every node before the job starts.

    Raises:
        InputError: for a variable that this shell does not have.
    """
    absent = [name for name in options.env if name not in os.environ]
    if absent:
        raise InputError(f"--env {absent[0]}: this shell has no such variable")
    names = [*(name for name in CARRIED if name in os.environ), *options.env]
    packages = {"packages": [f"--constraint {UNPACKED}/constraints.txt", UNPACKED]}
    return {
        "working_dir": str(CHECKOUT),
        "env_vars": {name: os.environ[name] for name in names},
        **({"pip": packages} if options.install else {}),
    }


def _run(options: SubmitOptions, entrypoint: str, environment: dict[str, Any]) -> int:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.WARNING)  # a line for every .gitignore, otherwise
    try:
        client = JobSubmissionClient(options.address)
    except AuthenticationError as problem:
        raise InputError(
            f"--address {options.address}: the cluster wants its token: export RAY_AUTH_MODE=token, with the "
            f"token in ~/.ray/auth_token ({str(problem).splitlines()[0]})"
        ) from problem
    except (ConnectionError, RuntimeError) as problem:
        raise InputError(f"--address {options.address}: no cluster answers there ({problem})") from problem
    job = client.submit_job(entrypoint=entrypoint, runtime_env=environment)
    print(f"job {job}; its log again: ray job logs --address {options.address} {job}", flush=True)
    if not options.follow:
        return Exit.COMPLETE
    asyncio.run(_print_log(client, job))
    found = client.get_job_info(job)
    if found.status != JobStatus.SUCCEEDED:
        print(f"job {job}: {found.status.lower()}: {found.message}", flush=True)
    known = found.driver_exit_code if found.driver_exit_code is not None else Exit.CRASH
    return known if known in set(Exit) else Exit.CRASH


async def _print_log(client: Any, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    return run_job(SubmitOptions, lambda options: submit(options, words[cut + 1 :]), words[:cut])


if __name__ == "__main__":
    sys.exit(main())
