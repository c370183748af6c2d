"""Environment variables that Ray reads when it is imported, settled before that."""

from __future__ import annotations

import os
import secrets


def belongs_to_a_cluster() -> bool:
    """Say whether this process was told to use a cluster that others started."""
    return bool(os.environ.get("RAY_ADDRESS")) or inside_job()


def inside_job() -> bool:
    """Say whether this process is the entry point of a submitted job."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def settle_ray_environment() -> None:
    """Give a private cluster a token of its own, in the environment of this process and its children.

    Ray would otherwise write a token to the user's home folder, after which a later `ray start` switches
    authentication on and a plain `ray job submit` fails. A mode that the user has set stands.
    """
    # Ray's own bars would fight with ours.
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    if not belongs_to_a_cluster() and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
