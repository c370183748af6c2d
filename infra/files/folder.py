"""A folder of storage as readers of annotation files see it (`operators.datasets.formats.folder.Folder`)."""

from __future__ import annotations

from dataclasses import dataclass

from infra.files import storage


@dataclass(frozen=True)
class StoredFolder:
    """A folder at any fsspec URL."""

    url: str

    def place(self, name: str) -> str:
        """Return the address of a file in it."""
        return storage.join(self.url, name)

    def read(self, name: str) -> bytes:
        """Return a whole file; raises as `storage.read_bytes`."""
        return storage.read_bytes(self.place(name))

    def names(self) -> set[str]:
        """Return the names of what is directly in it; empty if it does not exist."""
        return storage.list_names(self.url)

    def below(self, name: str) -> StoredFolder:
        """Return a folder in it."""
        return StoredFolder(self.place(name))
