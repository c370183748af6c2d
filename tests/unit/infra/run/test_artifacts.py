"""Artifact parts: round trips, and parts that are not what their path says."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.files import storage
from infra.run.artifacts import Address, ArtifactStore, StalePart
from operators.rows.records import LOGIT_SCALE, features_schema

ADDRESS = Address("features/crop-tiny-0123456789ab", "shard-00002", "aabbccddeeff")


def table(keys: list[str] | None = None, metadata: dict[bytes, bytes] | None = None) -> pa.Table:
    keys = ["a", "b", "c"] if keys is None else keys
    vectors = np.random.RandomState(0).standard_normal((len(keys), 2, 24)).astype(np.float32)
    rows = [
        {"image_key": k, "features": [*v, None], "error": None} for k, v in zip(keys, vectors, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=features_schema(24)).replace_schema_metadata(metadata)


def file_of(store: ArtifactStore) -> Path:
    return Path(store.url(ADDRESS))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(str(tmp_path / "artifacts"))
    store.put(ADDRESS, table(metadata={LOGIT_SCALE: b"100.0"}))
    return store


def test_where_a_part_lies(store: ArtifactStore) -> None:
    expected = f"{store.root}/features/crop-tiny-0123456789ab/shard-00002-aabbccddeeff.parquet"
    assert store.url(ADDRESS) == expected
    assert [str(path) for path in Path(store.root).rglob("*") if path.is_file()] == [expected]


def test_round_trip(store: ArtifactStore) -> None:
    found = store.get(ADDRESS, ["a", "b", "c"])
    assert found.equals(table())
    assert found.schema.metadata[LOGIT_SCALE] == b"100.0"
    assert store.get(ADDRESS).equals(table())


def test_on_an_object_store() -> None:
    store = ArtifactStore("memory://artifact-test/artifacts")
    assert not store.has(ADDRESS)
    store.put(ADDRESS, table())
    assert ArtifactStore(store.root).has(ADDRESS)
    assert store.get(ADDRESS, ["a", "b", "c"]).equals(table())


def test_equal_parts_are_equal_files(store: ArtifactStore) -> None:
    before = file_of(store).read_bytes()
    store.put(ADDRESS, table(metadata={LOGIT_SCALE: b"100.0"}))
    assert file_of(store).read_bytes() == before


def test_a_part_that_is_absent(store: ArtifactStore) -> None:
    other = Address(ADDRESS.folder, ADDRESS.stem, "000000000000")
    assert not store.has(other)
    with pytest.raises(FileNotFoundError):
        store.get(other)


def test_a_part_at_the_path_of_another(store: ArtifactStore) -> None:
    other = Address(ADDRESS.folder, ADDRESS.stem, "000000000000")
    file_of(store).rename(store.url(other))
    with pytest.raises(StalePart, match="made for input aabbccddeeff, not 000000000000") as caught:
        store.get(other)
    assert store.url(other) in str(caught.value)


def test_a_parquet_file_that_others_wrote(store: ArtifactStore) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table(), file_of(store))
    with pytest.raises(StalePart, match="made for input unknown"):
        store.get(ADDRESS)


@pytest.mark.parametrize("keys", [["a", "b"], ["a", "c", "b"], ["a", "b", "c", "d"], []])
def test_keys_that_are_not_those_of_the_shard(keys: list[str], store: ArtifactStore) -> None:
    with pytest.raises(StalePart, match="image keys are not those of the shard"):
        store.get(ADDRESS, keys)


@pytest.mark.parametrize("percent", [0, 10, 50, 90, 99])
def test_a_part_that_was_cut(percent: int, store: ArtifactStore) -> None:
    data = file_of(store).read_bytes()
    file_of(store).write_bytes(data[: len(data) * percent // 100])
    with pytest.raises(StalePart, match="not a readable Parquet file") as caught:
        store.get(ADDRESS)
    assert store.url(ADDRESS) in str(caught.value)


def test_a_flipped_bit_of_the_values_is_noticed(store: ArtifactStore) -> None:
    """Without page checksums most flips of a compressed page would give other numbers and no error."""
    data = file_of(store).read_bytes()
    pages = len(data) - 8 - int.from_bytes(data[-8:-4], "little")  # what precedes the footer
    dice = random.Random("seed 0")
    noticed = 0
    for _ in range(200):
        damaged = bytearray(data)
        damaged[dice.randrange(pages)] ^= 1 << dice.randrange(8)
        file_of(store).write_bytes(damaged)
        try:
            assert store.get(ADDRESS, ["a", "b", "c"]).equals(table())
        except StalePart:
            noticed += 1
    assert noticed > 150


def test_a_listing_is_made_once_a_folder_and_kept_up_to_date(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = storage.list_stamps
    monkeypatch.setattr(storage, "list_stamps", lambda url: asked.append(url) or original(url))
    fresh = ArtifactStore(store.root)
    second = Address(ADDRESS.folder, "shard-00003", ADDRESS.digest)
    elsewhere = Address("masks/sam-0", ADDRESS.stem, ADDRESS.digest)
    assert [fresh.has(a) for a in (ADDRESS, second, elsewhere, ADDRESS)] == [True, False, False, True]
    assert asked == [f"{store.root}/{ADDRESS.folder}", f"{store.root}/masks/sam-0"]
    fresh.put(second, table())
    assert fresh.has(second)
    assert len(asked) == 2


def test_a_pickle_leaves_the_listing_behind(store: ArtifactStore) -> None:
    fresh = ArtifactStore(store.root)
    assert fresh.has(ADDRESS)
    travelled = pickle.loads(pickle.dumps(fresh))  # noqa: S301
    file_of(store).unlink()
    assert fresh.has(ADDRESS)  # remembered
    assert not travelled.has(ADDRESS)
    assert travelled == fresh
