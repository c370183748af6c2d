"""What Ray's own autoscaler asks for, given a cluster file and wanted GPUs; nothing is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

ROOT = Path(__file__).resolve().parents[4]


def asked_for(config: Mapping[str, Any], gpus: int, availability: Mapping[str, float]) -> dict[str, int]:
    """Return how many nodes of which type an empty cluster asks for.

    Args:
        config: as Ray validated it, with the resources of every type.
        gpus: actors that want one each.
        availability: by type, from 0 (its nodes have just failed to come) to 1.
    """
    types = AutoscalingConfig(dict(config), skip_content_hash=True)
    wanted = [ResourceRequestUtil.make({"CPU": 1.0, "GPU": 1.0}) for _ in range(gpus)]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=types.get_node_type_configs(),
        max_num_nodes=types.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count(wanted),
        recoverable_resource_availabilities=dict(availability),
    )
    asked = Counter[str]()
    for launch in ResourceDemandScheduler().schedule(request).to_launch:
        asked[launch.instance_type] += launch.count
    return dict(asked)
