"""The Hugging Face hub: whether it answers, so that an offline machine is told so in seconds."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from urllib.parse import urlsplit

ANSWER_WITHIN_S = 5.0
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def go_offline_if_unreachable() -> bool:
    """Tell huggingface_hub to look into its cache alone where the hub cannot be reached; say whether it did.

    It would try for most of a minute otherwise. Behind a proxy a direct connection says nothing.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or any(os.environ.get(name) for name in PROXIES):
        return bool(constants.HF_HUB_OFFLINE)
    address = urlsplit(constants.ENDPOINT)
    with suppress(OSError):
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=ANSWER_WITHIN_S).close()
        return False
    constants.HF_HUB_OFFLINE = True
    return True


def offline_advice(repository: str, name: str, architecture: str) -> str:
    """Say how a file of the hub gets onto a machine that cannot reach it."""
    where = f"{repository} {name}" if repository else "the file"
    return (
        f"on a machine that reaches it run `hf download {where}`, copy the file here, and write "
        f"{architecture}:FILE instead of the tag (or copy the cache folder, HF_HOME)"
    )
