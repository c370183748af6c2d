"""Paths that every process of a run must be able to read: refused early where they could not."""

from __future__ import annotations

import os
from collections.abc import Mapping

from infra.errors import InputError
from infra.execution.ray_environment import inside_job
from infra.files import storage


def require_reachable(urls: Mapping[str, str | None], nodes: int, shared_filesystem: bool) -> None:
    """Refuse local paths where other machines, or a job's throw-away folder, would not find them.

    Args:
        urls: what the user wrote, by option.
        nodes: how many machines take part.
        shared_filesystem: the user's word that local paths are the same files everywhere.

    Raises:
        InputError: naming the option and the fix.
    """
    for option, url in urls.items():
        if url is None or not storage.is_local(url):
            continue
        if inside_job() and not os.path.isabs(url):
            raise InputError(
                f"{option} {url}: a relative path inside a job lies in the job's temporary copy of the code "
                "and is lost with it; give an absolute path or a URL such as s3://bucket/folder"
            )
        if (inside_job() or nodes > 1) and not shared_filesystem:
            where = "inside a job" if inside_job() else f"with {nodes} nodes"
            raise InputError(
                f"{option} {url}: a local path {where}; give a URL such as s3://bucket/folder, or "
                "--shared-filesystem if every node sees the same files there"
            )
