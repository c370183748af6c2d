"""Files on any file system: atomic writes, retries, listings, and names that cannot escape."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import tenacity

from infra.files import storage, storage_retries
from infra.files.storage_retries import StorageError
from operators.pixels.images import ImageError


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> str:
    """A folder of fsspec's file system in memory."""
    return f"memory://{request.node.name.replace('[', '-').replace(']', '')}"


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_retries, "wait_random_exponential", lambda **_: tenacity.wait_none())


def test_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    storage.write_bytes(str(path), b"old")
    storage.write_bytes(str(path), b"new")
    assert path.read_bytes() == storage.read_bytes(str(path)) == b"new"
    assert os.listdir(path.parent) == ["file.bin"]


def test_urls_of_local_files(tmp_path: Path) -> None:
    storage.write_bytes(f"file://{tmp_path}/x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"
    assert storage.is_local(f"file://{tmp_path}")
    assert storage.is_local("relative/path")
    assert not storage.is_local("memory://x")


def test_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("a/../b/") == str(tmp_path / "b")
    assert storage.absolute("memory://a/b/") == "memory://a/b"


FAULTS = {"write": "fsync", "rename": "replace"}


@pytest.mark.parametrize("call", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_fault_while_writing_leaves_nothing_and_keeps_the_old_file(
    call: str, problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.bin"
    storage.write_bytes(str(path), b"old")

    def fail(*_: object) -> None:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, call, fail)
        for name in ("file.bin", "fresh.bin"):
            with pytest.raises(type(problem)):
                storage.write_bytes(str(tmp_path / name), b"new")
    assert os.listdir(tmp_path) == ["file.bin"]
    assert path.read_bytes() == b"old"


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the folder at the last moment before the new file becomes visible."""
    path = tmp_path / "file.bin"
    storage.write_bytes(str(path), b"old")
    seen = []
    original = os.replace

    def look_and_replace(source: str, target: str) -> None:
        seen.append((path.read_bytes(), Path(source).read_bytes(), Path(source).parent))
        original(source, target)

    monkeypatch.setattr(storage.os, "replace", look_and_replace)
    storage.write_bytes(str(path), b"new" * 100_000)
    assert seen == [(b"old", b"new" * 100_000, tmp_path)]


def test_create_refuses_to_overwrite(tmp_path: Path, memory: str) -> None:
    for root in (str(tmp_path), memory):
        url = storage.join(root, "runs/1/run.json")
        storage.create_bytes(url, b"first")
        with pytest.raises(FileExistsError):
            storage.create_bytes(url, b"second")
        assert storage.read_bytes(url) == b"first"


def test_a_file_system_in_memory(memory: str) -> None:
    url = storage.join(memory, "folder", "x.bin")
    assert not storage.exists(url)
    storage.write_bytes(url, b"\0\1")
    storage.write_bytes(url, b"\2")
    assert storage.exists(url)
    assert storage.read_bytes(url) == b"\2"
    assert storage.list_names(storage.join(memory, "folder")) == {"x.bin"}
    assert storage.list_names(memory) == {"folder"}
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(memory, "absent"))


def test_listing(tmp_path: Path, memory: str) -> None:
    for name in ("a.parquet", "b c.parquet", "sub/d.parquet"):
        storage.write_bytes(str(tmp_path / name), b"")
    assert storage.list_names(str(tmp_path)) == {"a.parquet", "b c.parquet", "sub"}
    assert storage.list_names(str(tmp_path) + "/") == {"a.parquet", "b c.parquet", "sub"}
    assert storage.list_names(str(tmp_path / "absent")) == set()
    assert storage.list_names(storage.join(memory, "absent")) == set()


def test_a_listing_is_never_a_remembered_one(tmp_path: Path) -> None:
    assert storage.list_names(str(tmp_path)) == set()
    (tmp_path / "late").touch()
    assert storage.list_names(str(tmp_path)) == {"late"}


class Flaky:
    """A file system whose calls fail a number of times first."""

    def __init__(self, problems: list[Exception]) -> None:
        self.problems = problems
        self.calls = 0
        self.stored: dict[str, bytes] = {}

    def _call(self) -> None:
        self.calls += 1
        if self.problems:
            raise self.problems.pop(0)

    def cat_file(self, path: str) -> bytes:
        self._call()
        return b"content"

    def pipe_file(self, path: str, data: bytes) -> None:
        self._call()
        self.stored[path] = data

    def info(self, path: str) -> dict[str, str]:
        self._call()
        return {"type": "file"}

    def ls(self, path: str, detail: bool) -> list[str]:
        self._call()
        return [f"{path}/x"]

    def invalidate_cache(self) -> None:
        pass


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch, _no_waiting: None) -> Flaky:
    system = Flaky([])
    monkeypatch.setattr(storage, "filesystem", lambda url: (system, url))
    return system


TRANSIENT = [OSError(5, "503 Slow Down"), TimeoutError("slow"), ConnectionResetError("reset")]


def test_transient_faults_are_retried(flaky: Flaky) -> None:
    for action, expected in (
        (lambda: storage.read_bytes("u"), b"content"),
        (lambda: storage.exists("u"), True),
        (lambda: storage.list_names("u"), {"x"}),
        (lambda: storage.write_bytes("u", b"data"), None),
    ):
        flaky.problems, flaky.calls = list(TRANSIENT), 0
        assert action() == expected
        assert flaky.calls == len(TRANSIENT) + 1
    assert flaky.stored == {"u": b"data"}


def test_a_fault_that_stays_is_raised_after_some_attempts(flaky: Flaky) -> None:
    flaky.problems = [OSError(5, f"try {i}") for i in range(50)]
    with pytest.raises(OSError, match=f"try {storage_retries.ATTEMPTS - 1}"):
        storage.read_bytes("u")
    assert flaky.calls == storage_retries.ATTEMPTS


@pytest.mark.parametrize(
    "kind", [FileNotFoundError, PermissionError, IsADirectoryError, ValueError, KeyError]
)
def test_lasting_faults_are_raised_at_once(kind: type[Exception], flaky: Flaky) -> None:
    flaky.problems = [kind("lasting")]
    with pytest.raises(kind):
        storage.read_bytes("u")
    assert flaky.calls == 1


def test_retries_wait_longer_and_longer_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", waits.append)
    problem = OSError(5, "503")
    monkeypatch.setattr(storage, "filesystem", lambda url: (SimpleNamespace(cat_file=_raise(problem)), url))
    with pytest.raises(OSError, match="503"):
        storage.read_bytes("u")
    assert len(waits) == storage_retries.ATTEMPTS - 1
    assert all(0 <= wait <= 10 for wait in waits)
    assert len(set(waits)) > 1


def _raise(problem: Exception):
    def fail(*_: object) -> None:
        raise problem

    return fail


NAMES_THAT_ESCAPE = [
    "",
    ".",
    "..",
    "../x.jpg",
    "a/../../x.jpg",
    "/etc/passwd",
    "//etc/passwd",
    "..\\x.jpg",
    "a\\b.jpg",
    "C:\\x.jpg",
    "x\0.jpg",
    "s3://bucket/x.jpg",
    "file:///etc/passwd",
    "zip://x.jpg::file:///etc/passwd",
    "x.jpg::memory",
]


@pytest.mark.parametrize("name", NAMES_THAT_ESCAPE)
def test_names_that_escape(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        storage.join_inside(str(tmp_path), name)
    assert caught.value.code == "path.escape"


@pytest.mark.parametrize("name", [name for name in NAMES_THAT_ESCAPE if name != "."])
def test_names_that_escape_an_object_store(name: str) -> None:
    with pytest.raises(ImageError):
        storage.join_inside("memory://images", name)


@pytest.mark.parametrize("name", ["x.jpg", "sub/x.jpg", "a b.jpg", "é😀.jpg", "a:b.jpg", "x*?[1].jpg", "~"])
def test_names_that_stay_inside(name: str, tmp_path: Path) -> None:
    url = storage.join_inside(str(tmp_path), name)
    assert url == f"{tmp_path}/{name}"
    storage.write_bytes(url, b"1")
    assert storage.read_bytes(url) == (tmp_path / name).read_bytes() == b"1"
    assert storage.join_inside("memory://images", name) == f"memory://images/{name}"


def test_links_that_leave_the_folder(tmp_path: Path) -> None:
    images, secret = tmp_path / "images", tmp_path / "secret"
    images.mkdir()
    secret.mkdir()
    (secret / "x.jpg").write_bytes(b"secret")
    (images / "file.jpg").symlink_to(secret / "x.jpg")
    (images / "folder").symlink_to(secret)
    (images / "inner.jpg").write_bytes(b"fine")
    (images / "alias.jpg").symlink_to("inner.jpg")
    for name in ("file.jpg", "folder/x.jpg"):
        with pytest.raises(ImageError, match="leads out of the image folder"):
            storage.join_inside(str(images), name)
    assert storage.read_bytes(storage.join_inside(str(images), "alias.jpg")) == b"fine"


def test_a_link_and_a_step_up_cannot_be_combined(tmp_path: Path) -> None:
    """`folder/../x.jpg` is checked as `x.jpg`, so it must also be opened as that."""
    images, elsewhere = tmp_path / "images", tmp_path / "other" / "deep"
    images.mkdir()
    elsewhere.mkdir(parents=True)
    (images / "folder").symlink_to(elsewhere)
    (tmp_path / "other" / "x.jpg").write_bytes(b"secret")
    (images / "x.jpg").write_bytes(b"fine")
    assert storage.read_bytes(storage.join_inside(str(images), "folder/../x.jpg")) == b"fine"


def test_the_image_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    real = tmp_path / "disk2" / "images"
    real.mkdir(parents=True)
    (real / "x.jpg").write_bytes(b"1")
    (tmp_path / "images").symlink_to(real)
    assert storage.read_bytes(storage.join_inside(str(tmp_path / "images"), "x.jpg")) == b"1"


def test_a_folder_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images-private").mkdir()
    (tmp_path / "images" / "up").symlink_to(tmp_path / "images-private")
    with pytest.raises(ImageError):
        storage.join_inside(str(tmp_path / "images"), "up/x.jpg")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "gs://bucket/x",
            r"gs://bucket/x: gs:// needs a driver; in the checkout: .* -e '\.\[gcs\]'",
        ),
        ("az://c/x", r"az:// needs a driver; in the checkout: pip install -e '\.\[azure\]'"),
        ("sftp://host/x", r"sftp://host/x: the driver of sftp:// is not installed"),
        (
            "nonsense://x",
            r"nonsense://x: Protocol not known: nonsense; a path, or a URL such as s3://, gs://",
        ),
    ],
)
def test_a_driver_that_is_not_installed_is_named_with_its_extra(url: str, told: str) -> None:
    with pytest.raises(StorageError, match=told):
        storage.read_bytes(url)
