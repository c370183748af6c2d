"""Runs after all other parity tests: nothing that was compared once may drop out of the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MANIFEST = json.loads((HERE / "data" / "manifest.json").read_text())


def test_every_data_file_is_in_the_manifest():
    assert {path.name for path in HERE.glob("data/*.npz")} == set(MANIFEST["committed"])


def test_all_arrays_were_compared(golden, compared, request):
    options = request.config.option
    collected = {item.path.name for item in request.session.items}
    partial = {path.name for path in HERE.glob("test_*.py")} - collected
    if (
        partial
        or options.keyword
        or options.markexpr
        or any("::" in argument for argument in options.file_or_dir)
    ):
        pytest.skip("only some of the parity tests were selected")
    found, wanted = compared[golden.root], MANIFEST[golden.root]
    fewer = {file: (found[file], count) for file, count in wanted.items() if found[file] < count}
    assert not fewer, "compared, and how many were compared once"
    assert set(found) <= set(wanted), "add what is compared now to manifest.json"
