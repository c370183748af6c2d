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
POLICY = json.loads((ROOT / "infra" / "aws" / "policy.json").read_text(encoding="utf-8"))


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
    original = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    assert set(changes["available_node_types"]) == set(original["available_node_types"])
    prepared = prepare_config(original | changes)
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert types["gpu_spot"]["resources"]["GPU"] == types["gpu_on_demand"]["resources"]["GPU"] == 1
    assert types["gpu_spot"]["priority"] > types["gpu_on_demand"]["priority"]


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"(?:infra|tests|pipelines)/[\w/]+\.\w+", TEXT)) | {"ray_cluster.yaml"}
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_role_writes_to_the_bucket_alone_and_ends_its_own_nodes_alone() -> None:
    by_name = {statement["Sid"]: statement for statement in POLICY["Statement"]}
    for statement in by_name.values():
        for action in statement["Action"]:
            service, _, what = action.partition(":")
            assert what != "*"
            if service == "s3":
                assert statement["Resource"].startswith("arn:aws:s3:::YOUR-BUCKET")
            if what.startswith(("Terminate", "Stop")):
                assert "Condition" in statement
            if service == "iam":
                assert all("visual-prompt-bench" in resource for resource in statement["Resource"])
    name = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))["cluster_name"]
    condition = by_name["TheHeadEndsItsOwnWorkers"]["Condition"]
    assert condition == {"StringEquals": {"aws:ResourceTag/ray-cluster-name": name}}


def test_the_exit_lines_are_those_of_the_jobs() -> None:
    from infra.run.options import Exit

    told = dict(re.findall(r"`exit (\d) \(([\w ]+)\)`", TEXT))
    assert told == {
        str(int(status)): status.name.lower().replace("_", " ") for status in Exit if status != Exit.CRASH
    }
