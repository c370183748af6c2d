"""Registries and the plug-ins that fill them: a faulty one is named and takes nothing down."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint

import pytest

from operators.rows import registry as module
from operators.rows.registry import PlugIns, Registry, nearest

GROUP = "a.group"


@pytest.fixture
def advertise(monkeypatch: pytest.MonkeyPatch):
    def advertise(*values: str) -> None:
        points = [EntryPoint(f"p{i}", value, GROUP) for i, value in enumerate(values)]
        monkeypatch.setattr(module, "entry_points", lambda group: points if group == GROUP else [])

    return advertise


def test_a_faulty_plug_in_is_left_out_and_named_where_something_is_missing(advertise, caplog) -> None:
    advertise("no_such_module_xyz", "json", "json:no_such_name")
    animals: Registry[int] = Registry("animal", group=GROUP)
    animals.add("cat", 1)
    with caplog.at_level(logging.WARNING):
        assert animals.find("cat") == 1
        assert animals.all() == {"cat": 1}
    assert [r.getMessage() for r in caplog.records] == [
        "left out: plug-in 'p0' (no_such_module_xyz): "
        "ModuleNotFoundError(\"No module named 'no_such_module_xyz'\")",
        "left out: plug-in 'p2' (json:no_such_name): "
        "AttributeError(\"module 'json' has no attribute 'no_such_name'\")",
    ]
    with pytest.raises(ValueError, match=r"unknown animal 'dog'; nearest: cat; left out: plug-in 'p0' .*p2"):
        animals.find("dog")


def test_a_plug_in_is_loaded_once_though_it_looks_up_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    class Advertised:
        name, value, dist = "p", "v", None

        def load(self) -> None:
            loads.append(plug_ins.load())

    monkeypatch.setattr(module, "entry_points", lambda group: [Advertised()])
    plug_ins = PlugIns(GROUP)
    plug_ins.load()
    plug_ins.load()
    assert loads == [None]


def test_names() -> None:
    animals: Registry[int] = Registry("animal", group=GROUP)
    animals.add("cat", 1)
    with pytest.raises(ValueError, match="there is a animal 'cat' already"):
        animals.add("cat", 2)
    assert nearest("cta", ["cat", "elephant"]) == "cat"
    assert nearest("zzz", ["cat", "dog"]) == "cat, dog"
    assert nearest("zzz", []) == "none"
