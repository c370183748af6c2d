"""infra/README.md: what it tells people to type and to paste is right, as far as no cloud is needed."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from node_choice import ROOT
from ray.autoscaler._private.util import prepare_config, validate_config

from infra.run.command_line import parse
from infra.run.options import Options

TEXT = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
AWS = ROOT / "infra" / "aws"
CLUSTER = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def recipes() -> list[tuple[str, list[str]]]:
    """Return (recipe, arguments) of every command line that runs one."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    found = []
    for words in (shlex.split(line, comments=True) for line in lines):
        starts = [i for i, word in enumerate(words) if re.fullmatch(r"pipelines/\w+\.py", word)]
        for start, end in pairwise([*starts, len(words)]):
            arguments = words[start + 1 : end]
            cut = arguments.index("--") if "--" in arguments else len(arguments)
            found.append((Path(words[start]).stem, arguments[:cut]))
    return found


def test_the_recipes_that_it_runs() -> None:
    assert {name for name, _ in recipes()} == {"prepare_refcoco", "refcoco_full", "status", "submit"}


@pytest.mark.parametrize(("name", "arguments"), recipes())
def test_every_recipe_takes_its_options(name: str, arguments: list[str], monkeypatch) -> None:
    recipe = importlib.import_module(f"pipelines.{name}")
    (options,) = (
        kind
        for kind in vars(recipe).values()
        if isinstance(kind, type) and issubclass(kind, Options) and kind.__module__ == recipe.__name__
    )
    parse(options, [argument.replace("$BUCKET", "bucket") for argument in arguments])


@pytest.mark.parametrize("provider", ["gcp", "azure"])
def test_ray_takes_the_changes_for_other_clouds(provider: str) -> None:
    (changes,) = (yaml.safe_load(b) for b in blocks("yaml") if b.startswith(f"# {provider}\n"))
    assert changes["provider"]["type"] == provider
    assert set(changes["available_node_types"]) == set(CLUSTER["available_node_types"])
    assert "ssm" not in str(changes["setup_commands"])  # that is AWS's
    prepared = prepare_config(CLUSTER | changes)
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert types["gpu_spot"]["resources"]["GPU"] == types["gpu_on_demand"]["resources"]["GPU"] == 1
    assert types["gpu_spot"]["priority"] > types["gpu_on_demand"]["priority"]


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"(?:infra|tests|pipelines)/[\w/]+\.\w+", TEXT)) | {"ray_cluster.yaml"}
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).is_file()] == []


def statements(name: str) -> list[dict]:
    return json.loads((AWS / f"{name}.json").read_text(encoding="utf-8"))["Statement"]


def test_nodes_may_use_the_bucket_the_token_and_the_image_and_nothing_else() -> None:
    services = set()
    for statement in statements("policy"):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        services |= {action.partition(":")[0] for action in actions}
        assert not any("*" in action for action in actions)
        if actions != ["ecr:GetAuthorizationToken"]:  # knows no resources
            assert (statement["Resource"] != "*" and "visual-prompt-bench" in str(statement["Resource"])) or (
                "YOUR-BUCKET" in statement["Resource"]
            )
    assert services == {"s3", "ssm", "ecr"}


def test_the_head_starts_and_ends_what_the_cluster_file_names() -> None:
    name, types = CLUSTER["cluster_name"], CLUSTER["available_node_types"]
    workers = {kind["node_config"]["InstanceType"] for key, kind in types.items() if key != "head"}
    by_name = {statement["Sid"]: statement for statement in statements("head")}
    started = by_name["StartWorkersOfThisClusterAndType"]["Condition"]["StringEquals"]
    assert started["aws:RequestTag/ray-cluster-name"] == name
    assert set(started["ec2:InstanceType"]) == workers
    ended = by_name["TagAndEndItsOwn"]
    assert ended["Condition"] == {"StringEquals": {"aws:ResourceTag/ray-cluster-name": name}}
    handed = by_name["HandOutTheWorkersRole"]["Resource"]
    profiles = {kind["node_config"]["IamInstanceProfile"]["Name"] for k, kind in types.items() if k != "head"}
    assert {handed.rpartition("/")[2]} == profiles
    ending = [s["Sid"] for s in by_name.values() if "ec2:TerminateInstances" in s["Action"]]
    assert ending == ["TagAndEndItsOwn"]


def test_the_exit_lines_are_those_of_the_jobs() -> None:
    from infra.run.options import Exit

    told = dict(re.findall(r"`exit (\d) \(([\w ]+)\)`", TEXT))
    assert told == {
        str(int(status)): status.name.lower().replace("_", " ") for status in Exit if status != Exit.CRASH
    }
