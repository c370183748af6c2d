"""Artifact parts: expensive results at paths computed from what made them and what they were made of.

A part that exists is done; writing it twice is harmless; a changed input or setting is another path.
"""

from __future__ import annotations

import gc
import io
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from infra.files import storage
from operators.rows.read_ahead import read_ahead

DIGEST = b"vpb.digest"


class StalePart(ValueError):
    """A part does not belong to the path it was found at."""


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the collector of cycles from walking half a million names again and again: half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class Address:
    """Where a part lies below the artifacts folder.

    Attributes:
        folder: `<kind>/<slug>-<fingerprint>`.
        stem: what the part is made of, readable: `shard-00042`, `refcoco-val`.
        digest: 12 hex digits of the part's input.
    """

    folder: str
    stem: str
    digest: str

    @property
    def name(self) -> str:
        """Return the file name."""
        return f"{self.stem}-{self.digest}.parquet"


@dataclass(frozen=True)
class ArtifactStore:
    """The artifacts folder, on any fsspec URL. Pickles to its root alone."""

    root: str

    def url(self, address: Address) -> str:
        """Return where the part lies, whether or not it exists."""
        return storage.join(self.root, address.folder, address.name)

    def has(self, address: Address) -> bool:
        """Say whether the part exists, from one listing a folder."""
        return address.name in self.stamps(address.folder)

    def stamps(self, folder: str) -> dict[str, str]:
        """Return the names of a folder's parts as listed once, each with the store's stamp of its content."""
        self.look([folder])
        return self._listings[folder]

    def look(self, folders: Iterable[str]) -> None:
        """List the folders that were not listed yet, several at a time."""
        unseen = [folder for folder in dict.fromkeys(folders) if folder not in self._listings]
        urls = [storage.join(self.root, folder) for folder in unseen]
        if len(unseen) == 1:
            self._listings[unseen[0]] = storage.list_stamps(urls[0])
        elif unseen:
            with _no_collections():
                self._listings.update(zip(unseen, read_ahead(storage.list_stamps, urls), strict=True))

    def put(self, address: Address, table: pa.Table) -> None:
        """Write a part atomically, with its digest and the digest of its key column in the footer."""
        metadata = {**(table.schema.metadata or {}), DIGEST: address.digest.encode()}
        buffer = io.BytesIO()
        pq.write_table(
            table.replace_schema_metadata(metadata), buffer, compression="zstd", write_page_checksum=True
        )
        storage.write_bytes(self.url(address), buffer.getvalue())
        if address.folder in self._listings:
            self._listings[address.folder][address.name] = f"written here {uuid.uuid4().hex}"

    def get(self, address: Address, keys: list[str] | None = None) -> pa.Table:
        """Read a part and check that it is what its path says.

        Args:
            address: the part.
            keys: the image keys it must repeat, in order; None for parts that are not aligned with a shard.

        Raises:
            StalePart: if the file is damaged, or digest or keys differ.
            FileNotFoundError: if there is no such part.
        """
        url = self.url(address)
        data = io.BytesIO(storage.read_bytes(url))
        try:
            table = pq.read_table(data, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as problem:
            raise StalePart(
                f"{url}: not a readable Parquet file ({problem}); delete it and rerun"
            ) from problem
        found = (table.schema.metadata or {}).get(DIGEST, b"").decode()
        if found != address.digest:
            raise StalePart(f"{url}: made for input {found or 'unknown'}, not {address.digest}; delete it")
        if keys is not None and table.column("image_key").to_pylist() != keys:
            raise StalePart(f"{url}: its image keys are not those of the shard; delete it and rerun")
        return table

    @cached_property
    def _listings(self) -> dict[str, dict[str, str]]:
        return {}

    def __getstate__(self) -> dict[str, str]:
        """Leave the listings behind: another process must look for itself."""
        return {"root": self.root}
