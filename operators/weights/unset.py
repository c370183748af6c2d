"""Building a model whose parameters a checkpoint is about to replace: no random values are drawn for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

FILLING = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    init.kaiming_normal_,
    init.kaiming_uniform_,
    init.normal_,
    init.trunc_normal_,
    init.uniform_,
    init.xavier_normal_,
    init.xavier_uniform_,
}


class unset_parameters(TorchFunctionMode):
    """Context in which random values are left out: memory is taken and not written.

    For building a model before its weights are read: every parameter must be given a value afterwards, as
    `load_state_dict` makes sure of. What is no parameter (masks, tables of positions) is computed as ever,
    which building on `meta` would not do.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in FILLING:
            return args[0] if args else (kwargs or {})["tensor"]
        if func is torch.randn:
            func = torch.empty
        return func(*args, **(kwargs or {}))
