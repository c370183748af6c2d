"""What is measured here runs only when asked for: `pytest -m benchmarks -s`."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them unless benchmarks were asked for."""
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.benchmarks)
            if "benchmarks" not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason="a benchmark; run with -m benchmarks -s"))
