"""REFER pickles: plain data is read as REFER's own loader reads it, anything else is refused unexecuted."""

from __future__ import annotations

import copyreg
import datetime
import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from operators.datasets.formats.restricted_pickle import MAX_DEPTH, PickleRefused, load_plain_pickle

REFS = [
    {
        "sent_ids": [0, 1],
        "file_name": "COCO_train2014_000000581857_16.jpg",
        "ann_id": 1719310,
        "ref_id": 0,
        "image_id": 581857,
        "split": "train",
        "category_id": 1,
        "sentences": [{"tokens": ["the", "lady"], "raw": "THE LADY", "sent_id": 0, "sent": "the lady"}],
        "extra": (None, True, False, 1.5, -(2**70), b"bytes"),
    }
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(protocol: int) -> None:
    plain = [{**ref, "extra": [None, True, False, 1.5, -(2**70), (1, 2)]} for ref in REFS]
    assert load_plain_pickle(pickle.dumps(plain, protocol)) == plain


def test_bytes_are_plain_where_the_protocol_knows_them() -> None:
    assert load_plain_pickle(pickle.dumps(REFS, 3)) == REFS


@pytest.mark.parametrize(
    "data",
    [
        b"(dp0\nS'raw'\np1\nS'caf\\xe9'\np2\ns.",  # protocol 0, as Python 2 writes str
        b"}q\x00U\x03rawq\x01U\x04caf\xe9q\x02s.",  # protocols 1 and 2 (SHORT_BINSTRING)
        b"\x80\x02}q\x00U\x03rawq\x01T\x04\x00\x00\x00caf\xe9q\x02s.",  # BINSTRING
        b"(dp0\nVraw\np1\nVcaf\\u00e9\np2\ns.",  # Python 2 unicode
    ],
)
def test_python_2_strings_are_latin_1(data: bytes) -> None:
    assert load_plain_pickle(data) == {"raw": "café"}


def test_shared_objects_are_read() -> None:
    shared = ["x"]
    assert load_plain_pickle(pickle.dumps([shared, shared], 2)) == [["x"], ["x"]]


class Attack:
    """Creates a file when it is unpickled by ordinary means."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_payload_is_refused_and_not_executed(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    data = pickle.dumps([REFS[0] | {"extra": None}, Attack(marker)], protocol)
    with pytest.raises(PickleRefused, match=r"asks for (posix|nt)\.mkdir"):
        load_plain_pickle(data)
    assert not marker.exists()
    pickle.loads(data)  # noqa: S301 - shows that the payload would have worked
    assert marker.exists()


def test_the_opcodes_that_name_code_are_all_tried() -> None:
    """The payloads of this file cover every opcode that can import, call or change an object."""
    dangerous = {
        op.name
        for op in pickletools.opcodes
        if op.name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX")
        or op.name.startswith(("EXT", "PERSID", "BINPERSID"))
    }
    tried = {op.name for data in PAYLOADS.values() for op in _opcodes(data)}
    assert dangerous <= tried


def _opcodes(data: bytes) -> list[pickletools.OpcodeInfo]:
    found = []
    try:
        for op, _, _ in pickletools.genops(data):
            found.append(op)
    except ValueError:
        pass
    return found


def _stack_global(tail: bytes) -> bytes:
    return b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + tail


PAYLOADS = {
    "global": b"cposix\nsystem\n.",
    "global and reduce": b"cposix\nsystem\n(S'true'\ntR.",
    "builtins": b"c__builtin__\neval\n(S'1'\ntR.",
    "stack global": _stack_global(b"."),
    "stack global and reduce": _stack_global(b"\x8c\x04true\x85R."),
    "inst": b"(S'true'\niposix\nsystem\n.",
    "obj": b"(cposix\nsystem\nS'true'\no.",
    "newobj": b"\x80\x02cposix\nsystem\n)\x81.",
    "newobj ex": _stack_global(b")}\x92."),
    "build on a dict": b"\x80\x02}}X\x01\x00\x00\x00aK\x01sb.",
    "build with a global": b"\x80\x02ccollections\nOrderedDict\n)R}b.",
    "reduce of data": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "persistent id": b"Pmalicious\n.",
    "binary persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "extension 1": b"\x80\x02\x82\xf0.",
    "extension 2": b"\x80\x02\x83" + struct.pack("<H", 0xF0F0) + b".",
    "extension 4": b"\x80\x02\x84" + struct.pack("<i", 0x0F0F0F) + b".",
    "attribute chain": b"\x80\x04\x8c\x08builtins\x8c\x0fstr.__class__.x\x93.",
    "bytearray": pickle.dumps(bytearray(b"x"), 5),
    "out-of-band buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_way_to_name_code_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(os, "system", called.append)
    with pytest.raises(PickleRefused):
        load_plain_pickle(PAYLOADS[name])
    assert not called


def test_a_registered_extension_is_refused() -> None:
    copyreg.add_extension("collections", "OrderedDict", 0xF1)
    try:
        with pytest.raises(PickleRefused, match=r"asks for collections\.OrderedDict"):
            load_plain_pickle(b"\x80\x02\x82\xf1)R.")
    finally:
        copyreg.remove_extension("collections", "OrderedDict", 0xF1)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.float64(1.5),
        np.int64(7),
        OrderedDict(a=1),
        datetime.date(2014, 1, 1),
        1 + 2j,
        range(3),
        Path("x"),
        print,
        int,
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_other_objects_are_refused(value: object, protocol: int) -> None:
    with pytest.raises(PickleRefused, match="asks for"):
        load_plain_pickle(pickle.dumps([value], protocol))


@pytest.mark.parametrize("value", [{1, 2}, frozenset("ab")])
def test_sets_are_refused(value: object) -> None:
    for protocol in (2, 4):
        with pytest.raises(PickleRefused):
            load_plain_pickle(pickle.dumps([value], protocol))


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_up_to_the_limit() -> None:
    assert load_plain_pickle(pickle.dumps(nested(MAX_DEPTH), 2)) == nested(MAX_DEPTH)
    with pytest.raises(PickleRefused, match="nested deeper"):
        load_plain_pickle(pickle.dumps(nested(MAX_DEPTH + 1), 2))


@pytest.mark.parametrize("data", [b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", b"(" * 100_000])
def test_deep_nesting_ends_in_an_error_not_in_a_crash(data: bytes) -> None:
    with pytest.raises(PickleRefused):
        load_plain_pickle(data)


def test_a_list_that_holds_itself_is_refused() -> None:
    loop: list = []
    loop.append(loop)
    with pytest.raises(PickleRefused, match="nested deeper"):
        load_plain_pickle(pickle.dumps(loop, 2))


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_cut_file_is_refused_wherever_it_was_cut(protocol: int) -> None:
    data = pickle.dumps([{**REFS[0], "extra": None}], protocol)
    for length in range(len(data)):
        with pytest.raises(PickleRefused):
            load_plain_pickle(data[:length])


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x63.", b"\0", b".", b"0.", b"<html>"])
def test_no_pickle_at_all(data: bytes) -> None:
    with pytest.raises(PickleRefused, match="not a readable pickle"):
        load_plain_pickle(data)


def test_too_many_bytes_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.datasets.formats.restricted_pickle.MAX_BYTES", 10)
    with pytest.raises(PickleRefused, match="has 11 bytes, more than 10"):
        load_plain_pickle(io.BytesIO(b"x" * 11).getvalue())
