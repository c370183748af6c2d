"""Counting what a model computes, on the `meta` device: nothing is allocated and nothing is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_flops(run: Callable[[], Any]) -> float:
    """Return the floating-point operations of matrix products and convolutions, two for a multiply-add.

    `run` builds its inputs without naming a device; they lie on `meta`, as the model must.
    """
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
