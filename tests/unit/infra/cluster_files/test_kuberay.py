"""infra/kuberay: KubeRay knows every field, the recipe its options, and Ray asks for spot first."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from node_choice import ROOT, asked_for
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from infra.run.command_line import parse
from pipelines.refcoco_full import BenchmarkOptions

CRDS = Path(os.environ.get("VPB_SHARED", ROOT.parent / "shared")) / "data" / "kuberay"
FILES = ("rayjob", "raycluster")
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# A definition says no more of it than that it is an object.
METADATA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "labels": TEXTS, "annotations": TEXTS},
    "additionalProperties": False,
}


def documents(file: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the service account and the resource of a file."""
    text = (ROOT / "infra" / "kuberay" / f"{file}.yaml").read_text(encoding="utf-8")
    account, resource = yaml.safe_load_all(text)
    return account, resource


def cluster() -> dict[str, Any]:
    return documents("raycluster")[1]["spec"]


def groups() -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in cluster()["workerGroupSpecs"]}


def pods() -> Iterator[dict[str, Any]]:
    """Every pod that the files make but the submitter's."""
    yield from (group["template"]["spec"] for group in [cluster()["headGroupSpec"], *groups().values()])


def submitter() -> dict[str, Any]:
    return documents("rayjob")[1]["spec"]["submitterPodTemplate"]["spec"]


def options() -> BenchmarkOptions:
    """What the recipe makes of the entrypoint."""
    python, recipe, *argv = shlex.split(documents("rayjob")[1]["spec"]["entrypoint"])
    assert python == "python"
    assert (ROOT / recipe).name == "refcoco_full.py" and (ROOT / recipe).is_file()
    return parse(BenchmarkOptions, argv)


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a Kubernetes schema as JSON schema that refuses unknown fields, as kubectl does."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {}
    found = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        return found | {"type": ["integer", "string"]}
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        found["properties"] = {name: strict(field) for name, field in fields.items()}
        values = schema.get("additionalProperties", False)
        found["additionalProperties"] = strict(values) if isinstance(values, dict) else values
    if "items" in schema:
        found["items"] = strict(schema["items"])
    return found


def definition(kind: str, version: str) -> dict[str, Any]:
    file = CRDS / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        pytest.skip(f"no definition of {kind} at {file}; set VPB_SHARED")
    versions = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["spec"]["versions"]
    (schema,) = (each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == version)
    found = strict(schema)
    found["properties"]["metadata"] = METADATA
    return found


@pytest.mark.parametrize("file", FILES)
def test_kuberay_knows_every_field(file: str) -> None:
    _, resource = documents(file)
    group, _, version = resource["apiVersion"].partition("/")
    assert group == "ray.io"
    errors = Draft202012Validator(definition(resource["kind"], version)).iter_errors(resource)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_both_files_describe_one_cluster() -> None:
    job, alone = (documents(file) for file in FILES)
    assert job[0] == alone[0]
    assert job[1]["spec"]["rayClusterSpec"] == alone[1]["spec"]


def test_the_service_account_is_the_one_that_pods_use() -> None:
    account, _ = documents("rayjob")
    assert (account["apiVersion"], account["kind"]) == ("v1", "ServiceAccount")
    assert {pod["serviceAccountName"] for pod in pods()} == {account["metadata"]["name"]}
    assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]
    tokens = [pod.get("automountServiceAccountToken", True) for pod in (*pods(), submitter())]
    assert tokens == [True, False, False, False]  # the head's alone: its autoscaler asks for pods


def test_the_recipe_takes_the_entrypoint() -> None:
    told = options()
    assert told.data.startswith("s3://") and told.out.startswith("s3://")
    assert (told.device, told.executor) == ("cuda", "ray")
    assert told.max_gpus == sum(group["maxReplicas"] for group in groups().values())


def test_nobody_without_the_token_reaches_ray() -> None:
    assert cluster()["authOptions"] == {"mode": "token"}


def test_a_failed_job_goes_its_way_and_comes_back() -> None:
    job = documents("rayjob")[1]["spec"]
    assert job["shutdownAfterJobFinishes"] and job["ttlSecondsAfterFinished"] > 0
    assert job["backoffLimit"] == 2
    assert job["preRunningDeadlineSeconds"] < job["activeDeadlineSeconds"]


def test_the_job_waits_longer_than_a_pod_may_look_for_a_spot_node() -> None:
    (given_up,) = cluster()["autoscalerOptions"]["env"]
    assert given_up["name"] == "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S"
    waited = options().wait_for_resources_s
    assert waited is not None and waited >= 2 * float(given_up["value"])


def test_ray_asks_for_spot_first_and_for_on_demand_beyond_it_or_where_spot_failed() -> None:
    resource = {"metadata": {"name": "any", "namespace": "any"}, "spec": cluster()}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    kinds = {name: kind["resources"] for name, kind in config["available_node_types"].items()}
    assert {name: (found["CPU"] > 0, found.get("GPU", 0)) for name, found in kinds.items()} == {
        "headgroup": (False, 0),
        "gpu-spot": (True, 1),
        "gpu-on-demand": (True, 1),
    }
    assert config["idle_timeout_minutes"] == 5
    assert cluster()["enableInTreeAutoscaling"] and cluster()["autoscalerOptions"]["version"] == "v2"
    most = {name: group["maxReplicas"] for name, group in groups().items()}
    assert asked_for(config, 1, {}) == {"gpu-spot": 1}
    assert asked_for(config, 1, {"gpu-spot": 0.0}) == {"gpu-on-demand": 1}
    assert asked_for(config, 2 * sum(most.values()), {}) == most


def test_spot_is_for_workers_alone() -> None:
    kept = [pod["nodeSelector"]["karpenter.sh/capacity-type"] for pod in pods()]
    assert kept == ["on-demand", "spot", "on-demand"]


def test_pods_run_as_the_user_of_the_image_with_what_they_asked_for() -> None:
    dockerfile = (ROOT / "infra" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for pod in (*pods(), submitter()):
        user = pod["securityContext"]
        assert user["runAsNonRoot"]
        assert f"--uid {user['runAsUser']} " in dockerfile
        assert f"USER {user['runAsUser']}\n" in dockerfile
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_pods_have_shared_memory_and_a_cache_where_the_job_looks() -> None:
    for pod in pods():
        (container,) = pod["containers"]
        volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
        found = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert set(found) == {"/dev/shm", "/home/bench/.cache"}
        assert found["/dev/shm"]["medium"] == "Memory"
        assert pod["terminationGracePeriodSeconds"] < 30  # GKE's notice of a spot node, the shortest


def test_gpus_are_what_a_group_tolerates_and_asks_for() -> None:
    for group in groups().values():
        pod = group["template"]["spec"]
        assert group["minReplicas"] == 0
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
        (toleration,) = pod["tolerations"]
        assert toleration == {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
