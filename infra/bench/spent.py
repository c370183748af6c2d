"""CPU seconds by step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Spent:
    """Counts what steps take, all threads of the process together."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, step: str) -> Iterator[None]:
        """Count what the block takes."""
        began_s = time.process_time()
        try:
            yield
        finally:
            self.seconds[step] += time.process_time() - began_s
