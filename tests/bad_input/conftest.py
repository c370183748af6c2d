"""The bad-input matrix: every test here says what became of its case; the table is printed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

Entry = tuple[str, str, str]
MATRIX = pytest.StashKey[list[Entry]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(MATRIX, [])


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """Note the outcome of a case; a test that fails notes nothing."""
    found: list[tuple[str, str]] = []
    yield lambda case, outcome: found.append((case, " ".join(outcome.split())))
    test = f"{request.path.name}::{request.node.originalname}"
    request.config.stash[MATRIX].extend((case, outcome, test) for case, outcome in found)


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> list[Entry]:
    """All entries so far."""
    return request.config.stash[MATRIX]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    entries = terminalreporter.config.stash.get(MATRIX, [])
    if not entries:
        return
    terminalreporter.section("bad-input matrix")
    widths = [max(len(entry[i]) for entry in entries) for i in range(2)]
    for case, outcome, test in [("case", "outcome", "test"), *entries]:
        terminalreporter.write_line(f"{case:<{widths[0]}}  {outcome:<{widths[1]}}  {test}")
    terminalreporter.write_line(f"{len(entries)} cases")
