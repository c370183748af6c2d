"""Runs after the others: every case that was promised must have been tried."""

from __future__ import annotations

from pathlib import Path

import pytest

# What a bad input can be; a test records `<one of these>` or `<one of these>: <variant>`.
PROMISED = """
image undecodable | image truncated | image zero bytes | image missing | image too large | image too thin
image wrong format | image CMYK | image 16-bit | image palette | image grey | image alpha | image EXIF
image animated | image one pixel | file name
box zero-area | box negative | box NaN | box infinite | box swapped | box partly outside | box wholly outside
box one pixel | box below one pixel | box whole image | box last row | box beyond reason
text empty | text blank | text 10 kB | text emoji | text right to left | text NUL | text control characters
target missing | no regions | no expressions | duplicate ids | jsonl | JSON | pickle
no annotation files | no image folder | no detections
manifest missing | manifest malformed | manifest of another version
shard missing | shard listed twice | shard empty | shard changed
unknown method | unknown prompt | unknown encoder | unknown segmenter | unknown split | unknown dataset
colour of a text | exact masks | no place for results | no GPU | unknown proposals
retry-quarantined | neighbours | accounting
"""


def test_every_promised_case_was_tried(recorded, request: pytest.FixtureRequest) -> None:
    options = request.config.option
    collected = {item.path.name for item in request.session.items}
    everything = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    narrowed = options.keyword or options.markexpr or any("::" in name for name in options.file_or_dir)
    if narrowed or everything - collected:
        pytest.skip("only some of the matrix was selected")
    promised = {case.strip() for line in PROMISED.strip().split("\n") for case in line.split("|")}
    assert {case.partition(":")[0] for case, _, _ in recorded} == promised
