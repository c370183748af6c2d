"""A prepared dataset on disk: `manifest.json`, image shards and caption banks."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import InputError
from infra.files import storage
from operators.datasets.facts import Reason, SetFacts
from operators.datasets.joins import Join
from operators.rows.fingerprint import FINGERPRINT_CHARS
from operators.rows.records import BANK, IMAGE_ROW, image_digest, row_digest

MANIFEST = "manifest.json"
FORMAT = "visual-prompt-bench/1"
MAX_LISTED = 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shard(_Record):
    """One shard file.

    Attributes:
        image_digest: of keys, image bytes and boxes; names masks and features.
        row_digest: also of references and proposal sets; names predictions.
        expressions: number of expressions by `dataset/split`.
    """

    index: int
    name: str
    image_digest: str
    row_digest: str
    images: int
    regions: int
    quarantined_images: int
    expressions: dict[str, int]

    @property
    def stem(self) -> str:
        """Return the first part of the names of everything made from this shard."""
        return f"shard-{self.index:05d}"


class Split(_Record):
    """One dataset split with its caption bank.

    Attributes:
        parsers: names of what made the parses in the bank, if it has any.
        parsed: expressions that have a parse; None in manifests of older versions, which did not count.
        set_aside: expressions that were set aside when preparing; likewise.
    """

    dataset: str
    split: str
    images: int
    refs: int
    expressions: int
    bank: str
    bank_digest: str
    parsers: list[str] = []
    parsed: int | None = None
    set_aside: int | None = None

    @property
    def name(self) -> str:
        """Return `dataset/split`."""
        return f"{self.dataset}/{self.split}"


class Manifest(_Record):
    """What `prepare` wrote, read before anything else.

    Attributes:
        exact_mask_sets: proposal sets whose regions have masks of the dataset's own, some at least.
        sets: what is in every proposal set; empty in manifests of older versions, as are the following.
        joins: how the sources met that the data was made from.
        reasons: why images and expressions were set aside.
    """

    format: str
    images_per_shard: int
    proposal_sets: list[str]
    exact_mask_sets: list[str] = []
    splits: list[Split]
    shards: list[Shard]
    sets: dict[str, SetFacts] = {}
    joins: list[Join] = []
    reasons: list[Reason] = []


def bank_digest(texts: list[str], parses: Sequence[Any] = ()) -> str:
    """Return 12 hex digits over a caption bank, whole and in order, and over its parses if it has any."""
    content: list[Any] = [texts, list(parses)] if any(parses) else texts
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:FINGERPRINT_CHARS]


def read_manifest(data: str) -> Manifest:
    """Read and check `<data>/manifest.json`.

    Raises:
        InputError: if it is absent, malformed, of another format, or lists a shard twice.
    """
    url = storage.join(data, MANIFEST)
    try:
        manifest = Manifest.model_validate_json(storage.read_bytes(url))
    except FileNotFoundError as problem:
        raise InputError(f"{url} does not exist; make it with pipelines/prepare_refcoco.py") from problem
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise InputError(f"{url}: {where}: {detail['msg']}; prepare the data again") from problem
    if manifest.format != FORMAT:
        raise InputError(f"{url}: format {manifest.format!r}, this version reads {FORMAT!r}; prepare again")
    listed = Counter(name for s in manifest.shards for name in (s.name, f"shard number {s.index}"))
    double = [name for name, count in listed.items() if count > 1]
    if double:
        raise InputError(f"{url}: lists {double[0]} more than once; prepare the data again")
    return manifest


def require_files(data: str, names: Iterable[str]) -> None:
    """Check with one listing that files of a manifest exist.

    Raises:
        InputError: naming the first missing ones.
    """
    missing = sorted(set(names) - storage.list_names(data))
    if missing:
        listed = ", ".join(missing[:MAX_LISTED])
        raise InputError(
            f"{data}: {len(missing)} files of the manifest do not exist: {listed}; prepare the data again"
        )


def write_shard(data: str, index: int, rows: pa.Table) -> Shard:
    """Write one shard and return its manifest entry. Equal rows give an equal file at an equal path."""
    digest = row_digest(rows)
    name = f"shard-{index:05d}-{digest}.parquet"
    _write_table(storage.join(data, name), rows)
    expressions: dict[str, int] = {}
    for ref in (ref for refs in rows.column("refs").to_pylist() for ref in refs):
        split = f"{ref['dataset']}/{ref['split']}"
        expressions[split] = expressions.get(split, 0) + len(ref["expressions"])
    return Shard(
        index=index,
        name=name,
        image_digest=image_digest(rows),
        row_digest=digest,
        images=rows.num_rows,
        regions=sum(len(regions) for regions in rows.column("regions").to_pylist()),
        quarantined_images=sum(status != "ok" for status in rows.column("status").to_pylist()),
        expressions=expressions,
    )


def read_shard(data: str, shard: Shard) -> pa.Table:
    """Read one shard and check its schema and content against the manifest.

    Raises:
        InputError: naming the file, if it is absent, unreadable or not what the manifest says.
    """
    url = storage.join(data, shard.name)
    rows = _read_table(url)
    if not rows.schema.equals(IMAGE_ROW):
        raise InputError(f"{url} does not have the columns of an image shard; prepare again")
    if row_digest(rows) != shard.row_digest:
        raise InputError(f"{url} is not the file that the manifest describes; prepare again")
    for row in rows.select(["image_key", "image", "image_sha256"]).to_pylist():
        if hashlib.sha256(row["image"]).hexdigest() != row["image_sha256"]:
            raise InputError(f"{url}: {row['image_key']} is not the picture that was prepared; prepare again")
    return rows


def write_bank(data: str, dataset: str, split: str, bank: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Write a whole caption bank, rows of `BANK`; returns its file name and digest. Parses may be absent."""
    rows = pa.Table.from_pylist(list(bank), schema=BANK)
    digest = _digest_of(rows)
    name = f"bank-{dataset}-{split}-{digest}.parquet"
    _write_table(storage.join(data, name), rows)
    return name, digest


def read_bank(data: str, split: Split) -> list[str]:
    """Read the captions of a split in file order, and check them against the manifest.

    Raises:
        InputError: naming the file, if it is absent, unreadable or changed.
    """
    return _bank_rows(data, split).column("text").to_pylist()


def read_parsed_bank(data: str, split: Split) -> list[tuple[str, dict[str, Any] | None]]:
    """Read the captions of a split with their parses, None where there is none; checks as `read_bank`."""
    rows = _bank_rows(data, split)
    return list(zip(rows.column("text").to_pylist(), rows.column("parse").to_pylist(), strict=True))


def _bank_rows(data: str, split: Split) -> pa.Table:
    url = storage.join(data, split.bank)
    rows = _read_table(url)
    if not rows.schema.equals(BANK) or _digest_of(rows) != split.bank_digest:
        raise InputError(f"{url} is not the caption bank that the manifest describes; prepare again")
    return rows


def _digest_of(bank: pa.Table) -> str:
    return bank_digest(bank.column("text").to_pylist(), bank.column("parse").to_pylist())


def _write_table(url: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    storage.write_bytes(url, buffer.getvalue())


def _read_table(url: str) -> pa.Table:
    try:
        data = io.BytesIO(storage.read_bytes(url))
    except FileNotFoundError as problem:
        raise InputError(f"{url} is listed in the manifest but does not exist; prepare again") from problem
    try:
        return pq.read_table(data, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as problem:
        raise InputError(f"{url} is not a readable Parquet file ({problem}); prepare again") from problem
