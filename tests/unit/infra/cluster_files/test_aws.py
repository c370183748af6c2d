"""ray_cluster.yaml: Ray and EC2 take it, spot comes first, a token is fetched whole or not at all."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from node_choice import ROOT, asked_for
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent
from s3_server import S3

FILE = ROOT / "ray_cluster.yaml"
# What Ray would fill in from EC2's own list.
RESOURCES = {"m7i.large": {"CPU": 2}, "g6.2xlarge": {"CPU": 8, "GPU": 1}}
PARAMETER = "/visual-prompt-bench/ray-token"


def written() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.fixture
def config() -> dict[str, Any]:
    """The file as Ray has it before it asks AWS anything, with what AWS would answer."""
    prepared = prepare_config(written())
    validate_config(prepared)
    for kind in prepared["available_node_types"].values():
        kind["resources"] = kind["resources"] or RESOURCES[kind["node_config"]["InstanceType"]]
    return prepared


def test_ray_takes_the_file(config: dict[str, Any]) -> None:
    head = config["available_node_types"][config["head_node_type"]]
    workers = [kind for name, kind in config["available_node_types"].items() if name != "head"]
    assert head["resources"] == {"CPU": 0}
    assert [kind["min_workers"] for kind in workers] == [0, 0]
    assert config["max_workers"] == sum(kind["max_workers"] for kind in workers)
    assert config["file_mounts"] == {}


@pytest.mark.parametrize("name", written()["available_node_types"])
def test_ec2_takes_every_node_config(name: str) -> None:
    node = written()["available_node_types"][name]["node_config"]
    ec2 = botocore.session.get_session().get_service_model("ec2")
    # Ray adds the counts, and on its way keys, subnets and tags, which it makes itself.
    request = {**node, "MinCount": 1, "MaxCount": 1}
    report = ParamValidator().validate(request, ec2.operation_model("RunInstances").input_shape)
    assert not report.has_errors(), report.generate_report()
    assert node["MetadataOptions"]["HttpTokens"] == "required"
    assert all(volume["Ebs"]["Encrypted"] for volume in node["BlockDeviceMappings"])
    assert ("InstanceMarketOptions" in node) == (name == "gpu_spot")


def test_spot_comes_first_and_on_demand_beyond_it_or_where_spot_is_known_to_fail(
    config: dict[str, Any],
) -> None:
    kinds = config["available_node_types"]
    most = {name: kinds[name]["max_workers"] for name in ("gpu_spot", "gpu_on_demand")}
    assert asked_for(config, 1, {}) == {"gpu_spot": 1}
    assert asked_for(config, 1, {"gpu_spot": 0.0}) == {"gpu_on_demand": 1}
    assert asked_for(config, 2 * sum(most.values()), {}) == most


def test_swapped_priorities_ask_for_on_demand(config: dict[str, Any]) -> None:
    """What the comment at gpu_on_demand advises where spot is dry."""
    spot, on_demand = (config["available_node_types"][name] for name in ("gpu_spot", "gpu_on_demand"))
    spot["priority"], on_demand["priority"] = on_demand["priority"], spot["priority"]
    assert asked_for(config, 1, {}) == {"gpu_on_demand": 1}


@pytest.mark.parametrize(
    ("event", "known"),
    [("ALLOCATION_FAILED", False), ("ALLOCATION_TIMEOUT", True)],
)
def test_a_refused_launch_is_not_known_as_a_failure_of_its_type(event: str, known: bool) -> None:
    """Where this fails, Ray has learned to fall back by itself: rewrite the comment at gpu_on_demand."""
    monitor = CloudResourceMonitor()
    status = getattr(Instance, event)
    monitor.notify([InstanceUpdateEvent(instance_type="gpu_spot", new_instance_status=status)])
    assert ("gpu_spot" in monitor.get_recoverable_resource_availabilities()) == known


def test_the_region_is_said_once_and_again() -> None:
    region = written()["provider"]["region"]
    assert all(zone.startswith(region) for zone in written()["provider"]["availability_zone"].split(","))
    assert f"--env AWS_DEFAULT_REGION={region}" in written()["docker"]["run_options"]


def test_the_cache_of_weights_is_made_before_docker_would_make_it_as_root() -> None:
    volume = next(o for o in written()["docker"]["run_options"] if o.startswith("--volume "))
    place, inside = volume.removeprefix("--volume ").split(":")
    assert f"mkdir -p {place}" in written()["initialization_commands"]
    assert inside == "/home/bench/.cache"


def test_only_ssh_reaches_a_node_and_ray_wants_its_token() -> None:
    # Ray adds "SSH from anywhere" to every group that it makes, whatever the file says of it.
    assert "security_group" not in written()["provider"]
    for kind in written()["available_node_types"].values():
        assert kind["node_config"]["SecurityGroupIds"] == ["sg-YOUR-GROUP"]
    for which in ("head", "worker"):
        start = written()[f"{which}_start_ray_commands"][-1]
        assert start.startswith("RAY_AUTH_MODE=token ray start ")
    options = shlex.split(written()["head_start_ray_commands"][-1])
    assert "--dashboard-host=127.0.0.1" in options
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in options


def set_up(home: Path) -> subprocess.CompletedProcess[str]:
    """Run the set-up command as a node does, with this machine's Python."""
    (command,) = written()["setup_commands"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {**os.environ, "HOME": str(home), "PATH": path}
    return subprocess.run(["bash", "-c", command], env=variables, capture_output=True, text=True)


def test_the_token_comes_from_the_parameter_store_or_not_at_all(s3: S3, tmp_path: Path) -> None:
    place = tmp_path / ".ray" / "auth_token"
    refused = set_up(tmp_path)
    assert refused.returncode != 0
    assert "ParameterNotFound" in refused.stderr
    assert not place.exists()

    store = boto3.client("ssm", endpoint_url=s3.endpoint)
    store.put_parameter(Name=PARAMETER, Type="SecureString", Value="of-this-test")
    try:
        assert set_up(tmp_path).returncode == 0
    finally:
        store.delete_parameter(Name=PARAMETER)
    assert place.read_text() == "of-this-test"
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
