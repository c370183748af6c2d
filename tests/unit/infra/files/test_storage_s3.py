"""Storage over the S3 protocol: conditional writes, fresh listings, faults that pass and faults that stay."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
import s3_server
import tenacity
from s3_server import BUCKET, CANARIES, S3, Proxy, forget_connections
from s3fs import S3FileSystem

from infra.files import storage, storage_retries
from infra.files.storage_retries import ATTEMPTS, StorageError, StorageOutage
from infra.run.artifacts import Address, ArtifactStore
from infra.weights.fetch import fetch, file_facts
from operators.pixels.images import ImageError

FAULTS = ("SlowDown", "InternalError", "reset", "cut", "slow")


@pytest.fixture
def folder(s3: S3, request: pytest.FixtureRequest) -> str:
    """A folder of this test's own."""
    return f"{s3.url}/{request.node.name.replace('[', '-').replace(']', '')}"


@pytest.fixture
def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that the storage talks to, without waits between attempts."""
    monkeypatch.setattr(storage_retries, "wait_random_exponential", lambda **_: tenacity.wait_none())
    monkeypatch.setattr(S3FileSystem, "read_timeout", s3_server.SLOW_S / 3)
    with s3_server.proxy_before(s3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_connections()
        yield proxy
    forget_connections()


def first(count: int, fault: str) -> Callable[[str, str], str | None]:
    """Fail so many times, then work."""
    left = [fault] * count
    return lambda method, path: left.pop() if left else None


def test_whole_files(folder: str) -> None:
    url = storage.join(folder, "sub", "é 😀 #?+%20.bin")
    assert not storage.exists(url)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(url)
    for data in (b"old", b"\0" * 70_000, b""):
        storage.write_bytes(url, data)
        assert storage.read_bytes(url) == data
    assert storage.exists(url)
    assert storage.list_names(folder) == {"sub"}
    assert storage.list_names(storage.join(folder, "sub")) == {"é 😀 #?+%20.bin"}
    assert storage.absolute(folder + "/") == folder
    assert not storage.is_local(folder)


def test_another_process_writes(folder: str, s3: S3) -> None:
    """Nothing that was seen once is believed later: listings, absence, sizes."""
    key = folder.removeprefix(s3.url + "/")
    url = storage.join(folder, "part")
    assert storage.list_names(folder) == set() and not storage.exists(url)
    client = s3.client()
    client.put_object(Bucket=BUCKET, Key=f"{key}/part", Body=b"1")
    assert storage.list_names(folder) == {"part"} and storage.exists(url)
    assert storage.read_bytes(url) == b"1"
    client.put_object(Bucket=BUCKET, Key=f"{key}/part", Body=b"22")
    assert storage.read_bytes(url) == b"22" and storage.file_info(url)["size"] == 2
    client.delete_object(Bucket=BUCKET, Key=f"{key}/part")
    assert storage.list_names(folder) == set() and not storage.exists(url)


def test_a_listing_of_more_than_one_page(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    names = {f"{i}.parquet" for i in range(7)}
    for name in names:
        storage.write_bytes(storage.join(folder, name), b"")
    assert storage.list_names(folder) == names


def test_a_file_is_created_once(folder: str) -> None:
    url = storage.join(folder, "run.json")
    storage.create_bytes(url, b"first")
    storage.create_bytes(url, b"first")
    with pytest.raises(FileExistsError):
        storage.create_bytes(url, b"second")
    assert storage.read_bytes(url) == b"first"


def test_the_store_itself_refuses_the_second(folder: str, proxy: Proxy) -> None:
    """The check and the write are one request, so that nothing can come between them."""
    storage.create_bytes(storage.join(folder, "run.json"), b"first")
    assert [method for method, _ in proxy.requests] == ["PUT"]


def test_a_store_without_conditional_writes(folder: str, proxy: Proxy) -> None:
    url = storage.join(folder, "run.json")
    for expected in (b"first", b"second"):
        proxy.fault = first(1, "NotImplemented")
        if expected == b"first":
            storage.create_bytes(url, expected)
        else:
            with pytest.raises(FileExistsError):
                storage.create_bytes(url, expected)
    assert storage.read_bytes(url) == b"first"


@pytest.mark.parametrize("write", [storage.write_bytes, storage.create_bytes])
def test_a_write_whose_answer_was_lost(write: Callable, folder: str, proxy: Proxy) -> None:
    proxy.fault = first(1, "lost")
    url = storage.join(folder, "file")
    write(url, b"data")
    assert storage.read_bytes(url) == b"data"
    assert [method for method, _ in proxy.requests[:2]] == ["PUT", "PUT"]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass(fault: str, folder: str, proxy: Proxy) -> None:
    url = storage.join(folder, "file")
    actions: list[tuple[Callable[[], object], object]] = [
        (lambda: storage.write_bytes(url, b"data" * 1000), None),
        (lambda: storage.read_bytes(url), b"data" * 1000),
        (lambda: storage.exists(url), True),
        (lambda: storage.list_names(folder), {"file"}),
        (lambda: storage.create_bytes(url + "2", b"x" * 1000), None),
        (lambda: file_facts(url).torchscript, False),
        (lambda: fetch(url, file_facts(url).sha256)[-5:] != "", True),
    ]
    for action, expected in actions:
        proxy.fault = first(2, fault)
        assert action() == expected


def test_an_image_is_one_request(folder: str, proxy: Proxy) -> None:
    storage.write_bytes(storage.join(folder, "file"), b"data")
    proxy.requests.clear()
    storage.read_bytes(storage.join(folder, "file"))
    assert [method for method, _ in proxy.requests] == ["GET"]


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "reset"])
def test_an_outage_ends_after_some_attempts(fault: str, folder: str, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: fault
    url = storage.join(folder, "file")
    for action in (
        lambda: storage.read_bytes(url),
        lambda: storage.write_bytes(url, b""),
        lambda: storage.create_bytes(url, b""),
        lambda: storage.list_names(url),
        lambda: storage.exists(url),
    ):
        proxy.requests.clear()
        with pytest.raises(StorageOutage, match=f"^{url}: still failing after {ATTEMPTS} attempts"):
            action()
        # A reset of a connection that was used before is tried once more by aiohttp itself.
        assert ATTEMPTS <= len(proxy.requests) <= 2 * ATTEMPTS


def test_no_server_at_all(folder: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    forget_connections()
    with pytest.raises(StorageOutage, match=f"^{folder}/x: still failing .*EndpointConnectionError"):
        storage.read_bytes(storage.join(folder, "x"))


def test_access_denied_is_said_at_once(folder: str, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: "AccessDenied"
    url = storage.join(folder, "file")
    for action in (
        lambda: storage.read_bytes(url),
        lambda: storage.write_bytes(url, b""),
        lambda: storage.create_bytes(url, b""),
        lambda: storage.list_names(url),
        lambda: storage.exists(url),
        lambda: storage.require_writable(url),
        lambda: file_facts(url),
    ):
        proxy.requests.clear()
        with pytest.raises(StorageError, match=f"^{url}.*: access denied .*instance role") as refused:
            action()
        assert len(proxy.requests) == 1
        assert not any(canary in str(refused.value) for canary in CANARIES)


def test_no_such_bucket_is_said_at_once(s3: S3, proxy: Proxy) -> None:
    url = "s3://absent-bucket/folder"
    for action in (
        lambda: storage.read_bytes(url),
        lambda: storage.write_bytes(url, b""),
        lambda: storage.create_bytes(url, b""),
        lambda: storage.list_names(url),
        lambda: storage.exists(url),
        lambda: storage.require_writable(url),
        lambda: file_facts(url),
    ):
        proxy.requests.clear()
        with pytest.raises(StorageError, match=f"^{url}.*: there is no such bucket; create it"):
            action()
        assert len(proxy.requests) <= 2


@pytest.mark.parametrize("bucket", ["Not_a_bucket!", "b", "-x-"])
def test_a_bucket_name_that_cannot_be(bucket: str, s3: S3) -> None:
    with pytest.raises(StorageError, match=f"^s3://{bucket}/x: "):
        storage.write_bytes(f"s3://{bucket}/x", b"")


def test_no_credentials(folder: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(StorageError, match=r"Unable to locate credentials; give this machine .* AWS_PROFILE"):
        storage.read_bytes(folder)


def test_writing_is_tried_before_work(folder: str, s3: S3) -> None:
    storage.require_writable(folder)
    storage.require_writable(folder)
    assert list(s3.objects(folder.removeprefix(s3.url + "/"))) == [
        f"{folder.removeprefix(s3.url + '/')}/{storage.PROBE}"
    ]


def test_names_that_escape(folder: str) -> None:
    for name in ("../x.jpg", "/x.jpg", "s3://other/x.jpg", "a/../../x.jpg"):
        with pytest.raises(ImageError):
            storage.join_inside(folder, name)


def test_random_faults_lose_nothing(folder: str, proxy: Proxy) -> None:
    """One request in four fails, for ten seeds: everything arrives, with at most twice the requests."""
    weights = {None: 75, "SlowDown": 10, "InternalError": 5, "reset": 5, "cut": 2, "lost": 3}
    calls = 0
    for seed in range(10):
        chance = random.Random(seed)
        proxy.fault = lambda *_, chance=chance: chance.choices(list(weights), weights.values())[0]
        names = {f"{seed}-{i}" for i in range(4)}
        for name in names:
            storage.create_bytes(storage.join(folder, str(seed), name), name.encode() * 100)
            storage.write_bytes(storage.join(folder, str(seed), name), name.encode() * 100)
            assert storage.read_bytes(storage.join(folder, str(seed), name)) == name.encode() * 100
        assert storage.list_names(storage.join(folder, str(seed))) == names
        calls += 3 * len(names) + 1
    assert calls < len(proxy.requests) < 2 * calls


def test_a_part_written_twice(folder: str) -> None:
    """A second job makes the same part: same bytes at the same place, never half of them."""
    import pyarrow as pa

    address = Address("features/crop-tiny-0123456789ab", "shard-00002", "aabbccddeeff")
    table = pa.table({"image_key": ["a", "b"], "x": [1, 2]})
    first_job, second_job = ArtifactStore(folder), ArtifactStore(folder)
    assert not first_job.has(address) and not second_job.has(address)
    first_job.put(address, table)
    before = storage.read_bytes(first_job.url(address))
    second_job.put(address, table)
    assert storage.read_bytes(first_job.url(address)) == before
    assert ArtifactStore(folder).has(address)
    assert first_job.get(address, ["a", "b"]).equals(table)
