"""A prepared dataset on disk: the manifest, shards and banks, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.dataset.shards import (
    FORMAT,
    Manifest,
    Shard,
    Split,
    bank_digest,
    read_bank,
    read_manifest,
    read_shard,
    write_bank,
    write_shard,
)
from infra.errors import InputError
from operators.rows.records import IMAGE_ROW, image_digest, row_digest

PICTURE = b"\xff\xd8picture"
BANK = [{"expression_id": "0", "text": "Left cat"}, {"expression_id": "1", "text": "dög"}]


def row(key: str = "coco/train2014/1", **changes: object) -> dict:
    region = {"region_id": 0, "box_xywh": [1.0, 2.0, 3.0, 4.0], "sources": ["gold/refcoco"], "status": "ok"}
    expressions = [
        {"expression_id": str(i), "split_index": i, "text": entry["text"], "status": "ok"}
        for i, entry in enumerate(BANK)
    ]
    ref = {"ref_id": "9", "dataset": "refcoco", "split": "val", "target_region_ids": [0]}
    values = {
        "image_key": key,
        "image": PICTURE,
        "image_sha256": hashlib.sha256(PICTURE).hexdigest(),
        "width": 10,
        "height": 10,
        "regions": [region],
        "proposal_sets": [{"name": "gold/refcoco", "region_ids": [0]}],
        "refs": [{**ref, "expressions": expressions}],
        "status": "ok",
    }
    return values | changes


def rows(*content: dict) -> pa.Table:
    return pa.Table.from_pylist(
        list(content) or [row(), row("file/b", status="quarantined")], schema=IMAGE_ROW
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A prepared folder with one shard and one bank."""
    shard = write_shard(str(tmp_path), 3, rows())
    name, digest = write_bank(str(tmp_path), "refcoco", "val", BANK)
    split = Split(
        dataset="refcoco", split="val", images=2, refs=2, expressions=2, bank=name, bank_digest=digest
    )
    manifest = Manifest(
        format=FORMAT, images_per_shard=2, proposal_sets=["gold/refcoco"], splits=[split], shards=[shard]
    )
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    return tmp_path


def only_shard(data: Path) -> Shard:
    (shard,) = read_manifest(str(data)).shards
    return shard


def only_split(data: Path) -> Split:
    (split,) = read_manifest(str(data)).splits
    return split


def test_round_trip(data: Path) -> None:
    shard = only_shard(data)
    assert (shard.index, shard.stem, shard.images, shard.regions) == (3, "shard-00003", 2, 2)
    assert (shard.quarantined_images, shard.expressions) == (1, {"refcoco/val": 4})
    assert (shard.image_digest, shard.row_digest) == (image_digest(rows()), row_digest(rows()))
    assert read_shard(str(data), shard).equals(rows())
    assert only_split(data).name == "refcoco/val"
    assert read_bank(str(data), only_split(data)) == ["Left cat", "dög"]


def test_equal_rows_give_equal_files(data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    assert write_shard(str(other), 3, rows()) == only_shard(data)
    name = only_shard(data).name
    assert (other / name).read_bytes() == (data / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "images_too"),
    [
        ({"image_sha256": "cd"}, True),
        ({"image_key": "x"}, True),
        ({"status": "quarantined"}, True),
        ({"regions": []}, True),
        ({"proposal_sets": []}, False),
        ({"refs": []}, False),
    ],
)
def test_digests_cover_what_products_depend_on(changes: dict, images_too: bool) -> None:
    assert row_digest(rows(row())) != row_digest(rows(row(**changes)))
    assert (image_digest(rows(row())) != image_digest(rows(row(**changes)))) == images_too


def test_digests_depend_on_the_order_of_images_and_survive_nan() -> None:
    first, second = row("a"), row("b")
    assert image_digest(rows(first, second)) != image_digest(rows(second, first))
    odd = {"region_id": 0, "box_xywh": [float("nan"), 0.0, 1.0, 1.0], "sources": [], "status": "invalid"}
    assert image_digest(rows(row(regions=[odd]))) == image_digest(rows(row(regions=[dict(odd)])))
    assert row_digest(rows(row(regions=[odd]))) != row_digest(rows(row()))


def test_a_manifest_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json does not exist; make it with pipelines/prepare"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"format": "x"}', b"\xff\xfe{}", b"{}"])
def test_a_manifest_that_is_malformed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json: .*prepare the data again") as caught:
        read_manifest(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


def edited(data: Path, edit) -> str:
    content = json.loads((data / "manifest.json").read_text())
    edit(content)
    (data / "manifest.json").write_text(json.dumps(content))
    return str(data)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda m: m.update(format="visual-prompt-bench/99"),
            "format 'visual-prompt-bench/99', this version reads",
        ),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m["shards"][0].pop("row_digest"), r"shards\.0\.row_digest"),
        (lambda m: m["shards"][0].update(images="many"), r"shards\.0\.images"),
        (lambda m: m["shards"].append(m["shards"][0]), r"lists shard-00003-\w+\.parquet more than once"),
    ],
)
def test_a_manifest_that_cannot_be_used(edit, message: str, data: Path) -> None:
    with pytest.raises(InputError, match=rf"manifest\.json: {message}"):
        read_manifest(edited(data, edit))


def test_a_shard_that_is_missing(data: Path) -> None:
    shard = only_shard(data)
    (data / shard.name).unlink()
    with pytest.raises(InputError, match=rf"{shard.name} is listed in the manifest but does not exist"):
        read_shard(str(data), shard)


@pytest.mark.parametrize("percent", [0, 30, 99])
def test_a_shard_that_was_cut(percent: int, data: Path) -> None:
    shard = only_shard(data)
    content = (data / shard.name).read_bytes()
    (data / shard.name).write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(InputError, match=rf"{shard.name} is not a readable Parquet file"):
        read_shard(str(data), shard)


def test_a_flipped_bit_within_a_picture_is_noticed(data: Path) -> None:
    """The digest covers the picture's stored hash; the picture itself is covered by the page checksum."""
    shard = only_shard(data)
    content = bytearray((data / shard.name).read_bytes())
    content[content.index(b"picture")] ^= 1
    (data / shard.name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{shard.name} is not a readable Parquet file"):
        read_shard(str(data), shard)


def test_a_shard_with_other_rows_or_columns(data: Path) -> None:
    shard = only_shard(data)
    path = data / shard.name
    pq.write_table(rows(row(), row("file/c")), path)
    with pytest.raises(InputError, match=rf"{shard.name} is not the file that the manifest describes"):
        read_shard(str(data), shard)
    pq.write_table(rows().drop_columns(["status"]), path)
    with pytest.raises(InputError, match=rf"{shard.name} does not have the columns of an image shard"):
        read_shard(str(data), shard)
    pq.write_table(rows().set_column(3, "width", pa.array([10, 10], pa.int64())), path)
    with pytest.raises(InputError, match="does not have the columns"):
        read_shard(str(data), shard)


def test_a_bank_that_is_missing_changed_or_damaged(data: Path) -> None:
    split = only_split(data)
    path = data / split.bank
    content = path.read_bytes()
    pq.write_table(pa.table({"expression_id": ["0", "1"], "text": ["dög", "Left cat"]}), path)
    with pytest.raises(
        InputError, match=rf"{split.bank} is not the caption bank that the manifest describes"
    ):
        read_bank(str(data), split)
    pq.write_table(pa.table({"words": ["Left cat", "dög"]}), path)
    with pytest.raises(InputError, match=rf"{split.bank} is not the caption bank"):
        read_bank(str(data), split)
    path.write_bytes(content[:-20])
    with pytest.raises(InputError, match=rf"{split.bank} is not a readable Parquet file"):
        read_bank(str(data), split)
    path.unlink()
    with pytest.raises(InputError, match=rf"{split.bank} is listed in the manifest but does not exist"):
        read_bank(str(data), split)


def test_bank_digest_knows_order_and_borders() -> None:
    assert bank_digest(["a", "b"]) != bank_digest(["b", "a"])
    assert bank_digest(["ab", "c"]) != bank_digest(["a", "bc"])
    assert bank_digest(["a"]) != bank_digest(["A"])
    assert len(bank_digest([])) == 12
