"""Reading ahead: in order, several at a time, little held."""

from __future__ import annotations

import threading
import time

import pytest

from operators.rows.read_ahead import read_ahead


def test_in_order_and_several_at_a_time() -> None:
    together = threading.Barrier(4, timeout=20)

    def action(number: int) -> int:
        together.wait()  # returns only once four are under way
        return number * number

    assert list(read_ahead(action, range(8), requests=4)) == [n * n for n in range(8)]


def test_little_is_held() -> None:
    begun: list[int] = []
    answers = read_ahead(lambda n: begun.append(n) or n, range(1000), requests=3)
    assert [next(answers) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.05)
    assert len(begun) <= 5 + 3
    answers.close()
    assert len(begun) <= 5 + 3


def test_the_first_fault_is_raised_and_the_rest_is_left() -> None:
    begun: list[int] = []

    def action(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise OSError(f"no {number}")
        return number

    with pytest.raises(OSError, match="no 2"):
        list(read_ahead(action, range(1000), requests=2))
    assert len(begun) < 10


def test_nothing() -> None:
    assert list(read_ahead(len, [])) == []
