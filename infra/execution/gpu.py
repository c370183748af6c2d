"""How busy the GPU of this process is."""

from __future__ import annotations

import sys


def gpu_percent() -> int | None:
    """Return NVML's utilisation of this process's GPU; None without torch, a GPU or NVML."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    try:
        return int(torch.cuda.utilization())
    except Exception:  # NVML has its own kinds of faults, and none of them may stop the work
        return None
