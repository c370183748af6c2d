"""Many things at a time where each mostly waits or leaves the interpreter, in order and with little held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
REQUESTS = 16


def read_ahead(
    action: Callable[[T], R], items: Iterable[T], requests: int = REQUESTS, ahead: int = 0
) -> Iterator[R]:
    """Yield what an action gives for every item, in their order, with later ones under way.

    Args:
        action: safe to call from several threads.
        items: read as far as needed.
        requests: under way at a time. 0 does one after the other in the caller's thread.
        ahead: more that wait for their turn, or for the caller, which may take several at a time.

    Raises:
        Exception: the first of the action's, in the order of the items; the others are left.
    """
    if not requests:
        yield from map(action, items)
        return
    with ThreadPoolExecutor(requests) as threads:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(action, item))
                if len(waiting) >= requests + ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
