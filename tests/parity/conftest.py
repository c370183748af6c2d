"""Golden arrays: outputs of the unmodified reference programs, and the count of those that were compared.

There are two roots with the same file and array names: `committed`, a small part kept in `data/` that is
always there, and `shared`, the full set in `$VPB_SHARED/golden/dev`; its tests are skipped where that folder
is absent.

A parity test takes the fixture `golden` and runs once per root. It compares with `golden.assert_equal(file,
array, actual)` or `golden.assert_close(...)`, which also count the array. To add arrays, put an `.npz` with
your part of the golden set into `data/`, write the number of arrays your tests compare into
`data/manifest.json` and the sources into `data/README.md`; `test_zz_total.py` fails if fewer were compared.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

DATA = Path(__file__).parent / "data"
SHARED = Path(os.environ.get("VPB_SHARED", Path(__file__).parents[3] / "shared")) / "golden" / "dev"

Checked = set[tuple[str, str, str]]
CHECKED = pytest.StashKey[Checked]()


@cache
def _open_npz(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


class Golden:
    """One root of golden files."""

    def __init__(self, root: str, directory: Path, checked: Checked) -> None:
        self.root, self.directory, self._checked = root, directory, checked

    def arrays(self, file: str) -> Any:
        """Return an `.npz` file of this root, a mapping from array name to array, read on access."""
        return _open_npz(self.directory / file)

    def json(self, file: str) -> Any:
        """Return the contents of a JSON file of this root."""
        return json.loads((self.directory / file).read_text())

    def assert_equal(self, file: str, array: str, actual: Any) -> None:
        """Compare shape, dtype and every element, then count the array."""
        expected, actual = self.arrays(file)[array], np.asarray(actual)
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), f"{file} {array}"
        wrong = np.argwhere(actual != expected)
        assert len(wrong) == 0, f"{file} {array}: {len(wrong)} elements differ, first at {wrong[0]}"
        self._checked.add((self.root, file, array))

    def assert_close(self, file: str, array: str, actual: Any, *, atol: float, rtol: float = 0.0) -> None:
        """Compare shape and values within the tolerance, then count the array."""
        expected, actual = self.arrays(file)[array], np.asarray(actual)
        assert actual.shape == expected.shape, f"{file} {array}: {actual.shape}, expected {expected.shape}"
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=f"{file} {array}")
        self._checked.add((self.root, file, array))


@pytest.fixture(scope="session", params=["committed", "shared"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """One root of golden files; see the module docstring."""
    directory = {"committed": DATA, "shared": SHARED}[request.param]
    if request.param == "shared" and not directory.is_dir():
        pytest.skip(f"no golden set in {directory}; set VPB_SHARED to the folder that holds golden/dev")
    return Golden(request.param, directory, request.config.stash[CHECKED])


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> dict[str, Counter[str]]:
    """Number of arrays compared so far, by root and file."""
    checked = request.config.stash[CHECKED]
    return {root: Counter(f for r, f, _ in checked if r == root) for root in ("committed", "shared")}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHECKED] = set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    checked = config.stash[CHECKED]
    if checked:
        by_root = Counter(root for root, _, _ in checked)
        terminalreporter.write_line(
            f"parity: {len(checked)} golden arrays checked"
            f" (committed {by_root['committed']}, shared {by_root['shared']})"
        )
