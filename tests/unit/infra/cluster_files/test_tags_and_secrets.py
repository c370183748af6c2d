"""What holds for every file that starts a cluster: the Ray of constraints.txt, and nothing secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from node_choice import ROOT

FILES = (
    "ray_cluster.yaml",
    "infra/docker/Dockerfile",
    "infra/kuberay/rayjob.yaml",
    "infra/kuberay/raycluster.yaml",
)
SECRETS = {
    "key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "key in a variable": r"(?i)aws_(?:secret|session)_?\w*\s*[:=]",
    # Neither a variable nor a call stands for its value.
    "value of a secret": r"(?i)(?:password|secret|api_?key|token)[\"']?\s*[:=]\s*[\"']?[^\s\"'$,()]{6}",
    "private key": r"-----BEGIN",
    "address with a password": r"://[^/\s:@]+:[^/\s@]+@",
    "hex": r"\b[0-9a-fA-F]{32,}\b",
    # Paths have no capitals.
    "base64": r"(?=[a-z0-9+/]*[A-Z])(?=[A-Za-z+/]*\d)[A-Za-z0-9+/]{32,}",
}


def text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
def test_every_version_of_ray_is_the_pinned_one(file: str) -> None:
    (pinned,) = re.findall(r"^ray==(\S+)$", text("constraints.txt"), re.M)
    images = re.findall(r"\bray-(\d[\d.]*\d)", text(file))
    assert images
    said = re.findall(r"^\s*rayVersion: \"(.*)\"$", text(file), re.M)
    assert {*images, *said} == {pinned}


@pytest.mark.parametrize("file", FILES)
def test_an_image_is_named_with_its_tag_and_from_a_registry_of_nobody(file: str) -> None:
    named = set(re.findall(r"^\s*(?:-\s+)?image: (?:&\w+ )?([^\s*]\S+)$", text(file), re.M))
    assert len(named) == (0 if Path(file).name == "Dockerfile" else 1)
    ours = r"registry\.example\.com/visual-prompt-bench:ray-[\w.-]+"
    assert [name for name in named if not re.fullmatch(ours, name)] == []


@pytest.mark.parametrize("file", FILES)
def test_nothing_in_it_looks_like_a_secret(file: str) -> None:
    found = {kind: re.findall(pattern, text(file)) for kind, pattern in SECRETS.items()}
    assert {kind: hits for kind, hits in found.items() if hits} == {}


@pytest.mark.parametrize(
    "line",
    [
        "AWS_ACCESS_KEY_ID: AKIA" + "IOSFODNN7EXAMPLE",
        "aws_secret_access_key = x",
        "password: hunter22",
        "- --env RAY_AUTH_TOKEN=abcdef0123",
        "token: 'abcdefgh'",
        "-----BEGIN RSA PRIVATE KEY-----",
        "image: https://me:mine@registry.example.com/x",
        "data: " + "0123456789abcdef" * 2,
        "auth_data: " + "Zm9vYmFyYmF6cXV4MTIz" * 2 + "==",
    ],
)
def test_secrets_would_be_noticed(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in SECRETS.values())
