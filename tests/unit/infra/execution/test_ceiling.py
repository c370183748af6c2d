"""How far a cluster may grow: the user's word, the file of `ray up`, or nobody's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra.errors import InputError
from infra.execution.ceiling import BOOTSTRAP, MAX_BYTES, choose_device, find_ceiling, read_bootstrap
from infra.execution.pools import Capacity
from infra.execution.settings import Settings

HEAD = {"resources": {"CPU": 0}, "max_workers": 0}
GPU = {"resources": {"CPU": 8, "GPU": 1}, "min_workers": 0}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    kinds = {"head": HEAD, "spot": {**GPU, "max_workers": 6}, "on_demand": {**GPU, "max_workers": 2}}
    kinds["big"] = {"resources": {"CPU": 48, "GPU": 4}, "max_workers": 1}
    content = {"available_node_types": kinds, "head_node_type": "head", "max_workers": 5}
    file = tmp_path / "bootstrap.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_file_of_the_cluster_bounds_nodes_in_all(written: Path) -> None:
    assert read_bootstrap(written) == Capacity(48 + 4 * 8, 4 + 4 * 1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "a: b",
        "available_node_types: {head: {}}\nhead_node_type: tail",
        "x: &a [*a]",
        "\x00",
        "available_node_types: {h: {}, w: {max_workers: many}}\nhead_node_type: h",
        "!!python/object/apply:os.system ['true']",
        "a: " + "x" * MAX_BYTES,
    ],
)
def test_a_file_that_says_nothing_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(content)
    assert read_bootstrap(tmp_path / "f.yaml") is None
    assert read_bootstrap(tmp_path / "absent.yaml") is None


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_the_user_s_word_is_first(device: str, written: Path) -> None:
    found = find_ceiling(Settings(device=device, max_gpus=3), Capacity(2), True, written)
    assert (found.capacity.gpus, found.source, found.grows) == (3, "--max-gpus", True)
    assert choose_device(Settings(device=device), found) == "cuda"


def test_then_the_file_of_the_cluster(written: Path) -> None:
    found = find_ceiling(Settings(device="auto"), Capacity(2), True, written)
    assert (found.capacity, found.source, found.grows) == (Capacity(80, 8), str(BOOTSTRAP), True)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_auto_is_no_cpu_in_silence_where_gpus_may_come(device: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"--device {device}: no GPU is alive.*--max-gpus"):
        find_ceiling(Settings(device=device), Capacity(2), True, tmp_path / "absent")
    assert find_ceiling(Settings(device="cpu"), Capacity(2), True, tmp_path / "absent").capacity == Capacity(
        2
    )


def test_with_gpus_alive_and_no_word_it_stays_at_them_and_says_how_to_grow(tmp_path: Path) -> None:
    found = find_ceiling(Settings(device="auto"), Capacity(8, 1), True, tmp_path / "absent")
    assert found.capacity == Capacity(8, 1) and "--max-gpus N would let" in found.source


@pytest.mark.parametrize(
    ("max_gpus", "gpus", "source", "device"),
    [
        (None, 4, "what is alive", "cuda"),
        (2, 2, "--max-gpus", "cuda"),
        (9, 4, "what is alive", "cuda"),
        (0, 0, "--max-gpus", "cpu"),
    ],
)
def test_without_an_autoscaler_it_is_what_is_alive(max_gpus, gpus, source, device, tmp_path: Path) -> None:
    settings = Settings(device="auto", max_gpus=max_gpus)
    found = find_ceiling(settings, Capacity(32, 4), False, tmp_path / "absent")
    assert (found.capacity, found.source, found.grows) == (Capacity(32, gpus), source, False)
    assert choose_device(settings, found) == device
