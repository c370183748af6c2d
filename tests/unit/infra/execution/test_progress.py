"""Progress: the line, the remaining time, plain lines where there is no terminal."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from infra.execution import vitals
from infra.execution.progress import Counts, Display
from infra.execution.vitals import Watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """A clock that stands still until it is set."""
    now = {"s": 100.0}
    monkeypatch.setattr(vitals.time, "monotonic", lambda: now["s"])
    return now


def display(counts: dict[str, int], totals: dict[str, int], **options: float) -> Display:
    return Display(Watch("encode", totals, lambda: counts), **options)


def said(shown: Display) -> str:
    """Return the first part of the line: counts and time."""
    return shown.line().partition(";")[0]


def test_the_line(clock) -> None:
    counts = {"images": 3, "unasked": 9}
    shown = display(counts, {"images": 12, "expressions": 40, "nothing": 0})
    clock["s"] += 30
    assert said(shown) == "encode: images 3/12, expressions 0/40, 30 s"
    counts["expressions"] = 20
    # The slowest event decides: a quarter took 30 s.
    assert said(shown) == "encode: images 3/12, expressions 20/40, 30 s about 90 s left"
    counts |= {"images": 12, "expressions": 40}
    assert said(shown) == "encode: images 12/12, expressions 40/40, 30 s"


def test_counts_beyond_the_total_do_not_promise_negative_time(clock) -> None:
    shown = display({"images": 15, "texts": 5}, {"images": 12, "texts": 10})
    clock["s"] += 8
    assert said(shown) == "encode: images 15/12, texts 5/10, 8 s about 8 s left"


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture) -> None:
    counts = {"images": 0}
    with display(counts, {"images": 2}, line_every_s=0.01):
        deadline_s = time.monotonic() + 10
        seen = ""
        while seen.count("\n") < 3 and time.monotonic() < deadline_s:
            time.sleep(0.01)
            seen += capsys.readouterr().out
        counts["images"] = 2
    lines = (seen + capsys.readouterr().out).splitlines()
    assert len(lines) >= 4
    assert lines[0].startswith("encode: images 0/2, 0 s")
    assert lines[-1].startswith("encode: images 2/2, ")


def test_a_short_block_prints_one_line(capsys: pytest.CaptureFixture) -> None:
    with display({"images": 2}, {"images": 2}):
        pass
    printed = capsys.readouterr()
    assert printed.out.partition(";")[0] == "encode: images 2/2, 0 s" and printed.out.count("\n") == 1
    assert printed.err == ""


def test_the_last_line_is_printed_and_the_thread_ends_when_the_block_fails(capsys) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), display({"images": 1}, {"images": 2}):
        raise ZeroDivisionError
    assert capsys.readouterr().out.startswith("encode: images 1/2")
    assert threading.active_count() == before


@pytest.mark.parametrize("totals", [{}, {"images": 0}])
def test_nothing_expected_prints_nothing(totals: dict, capsys: pytest.CaptureFixture) -> None:
    with display({"images": 5}, totals):
        pass
    assert capsys.readouterr().out == ""


def test_bars_on_a_terminal(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("infra.execution.progress.POLL_EVERY_S", 0.01)
    asked = threading.Event()

    def snapshot() -> dict[str, int]:
        asked.set()
        return {"images": 1}

    with Display(Watch("encode", {"images": 2}, snapshot), line_every_s=0.001):
        assert asked.wait(10)
    assert capsys.readouterr().out.count("encode: images 1/2") == 1  # no plain lines beside the bars


def test_counts() -> None:
    counts = Counts()
    counts("images", 2)
    counts.add({"images": 3, "texts": 1})
    counts.flush()
    found = counts.snapshot()
    assert found == {"images": 5, "texts": 1}
    found["images"] = 0
    assert counts.snapshot()["images"] == 5


def test_counts_from_several_threads_are_not_lost() -> None:
    counts = Counts()
    threads = [threading.Thread(target=lambda: [counts("images", 1) for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.snapshot() == {"images": 20_000}


def test_the_time_left_is_told_from_the_pace_of_this_run(monkeypatch) -> None:
    """Nine tenths were done by an earlier run: they say nothing of how fast this one is."""
    now_s = iter([0.0, 30.0])
    monkeypatch.setattr("infra.execution.vitals.time.monotonic", lambda: next(now_s))
    display = Display(Watch("training", {"steps": 100}, lambda: {"steps": 92, "steps before": 90}))
    assert display.line() == "training: steps 92/100, 30 s about 120 s left"
