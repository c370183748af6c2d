"""Reads REFER pickles without running anything: plain containers and scalars only."""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn

MAX_BYTES = 1 << 30
MAX_DEPTH = 64


class PickleRefused(ValueError):
    """The pickle holds something other than plain data."""


class _PlainUnpickler(pickle.Unpickler):
    """Admits no class, function or persistent object: any such reference ends the reading.

    Nothing can be called without first being named through `find_class`.
    """

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        told = f"the pickle asks for {module_name}.{global_name}, and nothing that is called is opened"
        if module_name.split(".")[0] in ("numpy", "pandas"):
            told += "; its numbers are NumPy's: save it anew with plain ones (`value.item()` of each)"
        raise PickleRefused(told)

    def persistent_load(self, pid: Any) -> NoReturn:
        raise PickleRefused("the pickle asks for a persistent object")


def load_plain_pickle(data: bytes) -> Any:
    """Unpickle bytes made of dict, list, tuple, str, bytes, int, float, bool and None.

    Python 2 pickles are read as latin-1, as REFER's own loader does.

    Raises:
        PickleRefused: if the pickle names code, is damaged, nests too deeply or is too large.
    """
    if len(data) > MAX_BYTES:
        raise PickleRefused(f"the pickle has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        value = _PlainUnpickler(io.BytesIO(data), encoding="latin-1").load()
    except PickleRefused:
        raise
    except Exception as problem:  # a damaged pickle can raise nearly anything
        raise PickleRefused(f"not a readable pickle: {problem!r}") from problem
    _check_plain(value, MAX_DEPTH)
    return value


def _check_plain(value: Any, depth: int) -> None:
    if depth == 0:
        raise PickleRefused(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, depth - 1)
            _check_plain(item, depth - 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(item, depth - 1)
    elif not (value is None or isinstance(value, (str, bytes, int, float, bool))):
        raise PickleRefused(f"holds a {type(value).__name__}")
