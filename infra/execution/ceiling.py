"""How far a cluster may grow, and who says so: the user, the file that `ray up` leaves, or nobody.

Open-source Ray knows no maximum at run time: the field for it exists and nothing ever writes it (measured
with Ray 2.60 and the autoscalers of `ray up` and KubeRay).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.errors import InputError
from infra.execution.pools import Capacity
from infra.execution.settings import Settings

# Written by `ray up` on the head node, where jobs start.
BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Ceiling:
    """What a cluster may grow to.

    Attributes:
        capacity: most CPUs and GPUs.
        source: who says so, for people.
        grows: an autoscaler may bring more than is alive.
    """

    capacity: Capacity
    source: str
    grows: bool = False


def find_ceiling(settings: Settings, live: Capacity, autoscaled: bool, file: Path = BOOTSTRAP) -> Ceiling:
    """Say how far a cluster may grow.

    Args:
        settings: device, and the user's `max_gpus`.
        live: what is alive.
        autoscaled: an autoscaler runs.
        file: what `ray up` left.

    Raises:
        InputError: if the device is left to us, no GPU is alive, and nobody says whether any can come: a
            whole benchmark on the CPUs of a head is not what a cluster with an autoscaler is for.
    """
    if not autoscaled:
        gpus = live.gpus if settings.max_gpus is None else min(live.gpus, settings.max_gpus)
        told = "what is alive" if gpus == live.gpus else "--max-gpus"
        return Ceiling(Capacity(live.cpus, gpus), told)
    written = read_bootstrap(file.expanduser())
    if settings.max_gpus is not None:
        # CPUs come with the nodes of those GPUs.
        cpus = max(live.cpus, written.cpus if written else live.cpus)
        return Ceiling(Capacity(cpus, settings.max_gpus), "--max-gpus", grows=True)
    if written is not None:
        most = Capacity(max(written.cpus, live.cpus), max(written.gpus, live.gpus))
        return Ceiling(most, f"{BOOTSTRAP}", grows=True)
    if settings.device != "cpu" and not live.gpus:
        raise InputError(
            f"--device {settings.device}: no GPU is alive, an autoscaler runs, and nothing says how many "
            "it may start; --max-gpus N asks for up to N GPUs, --device cpu uses none"
        )
    return Ceiling(live, "what is alive; --max-gpus N would let the autoscaler add to it", grows=True)


def choose_device(settings: Settings, ceiling: Ceiling) -> str:
    """Return the torch device: `auto` is a GPU wherever there is or may be one."""
    if settings.device != "auto":
        return settings.device
    return "cuda" if ceiling.capacity.gpus > 0 else "cpu"


def read_bootstrap(file: Path) -> Capacity | None:
    """Return what the node types of a cluster file add up to, the head included; None without a usable file.

    Every resource is counted on the node types that have most of it, up to the file's `max_workers`.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            return None
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        types = content["available_node_types"]
        head = types[content["head_node_type"]]
        limit = int(content.get("max_workers", 2))
        workers = [
            (_resources(kind), min(int(kind.get("max_workers", 0)), limit))
            for name, kind in types.items()
            if name != content["head_node_type"]
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return None
    own = _resources(head)
    return Capacity(
        own.cpus + _most([(r.cpus, n) for r, n in workers], limit),
        own.gpus + _most([(r.gpus, n) for r, n in workers], limit),
    )


def _resources(kind: Mapping[str, Any]) -> Capacity:
    found = kind.get("resources") or {}
    return Capacity(float(found.get("CPU", 0)), float(found.get("GPU", 0)))


def _most(types: list[tuple[float, int]], limit: int) -> float:
    """Return the largest sum over at most `limit` nodes of (amount, most nodes)."""
    total = 0.0
    for amount, nodes in sorted(types, reverse=True):
        taken = min(nodes, limit)
        total, limit = total + amount * taken, limit - taken
    return total
