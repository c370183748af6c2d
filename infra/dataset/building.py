"""Building the shards, caption banks and proposal sets of a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from infra.dataset.shards import FORMAT, MANIFEST, Manifest, Shard, Split, write_bank, write_shard
from infra.execution.progress import Reporter
from infra.files import storage
from operators.datasets.complete_rows import complete_row
from operators.datasets.facts import Facts, SplitFacts, facts_of
from operators.datasets.image_rows import Row
from operators.datasets.joins import Join
from operators.pixels.images import ImageError, is_turned
from operators.rows.records import IMAGE_ROW

MAX_NAME_BYTES = 255


class Built(NamedTuple):
    """What one item of a build became: the entry of its shard, and what its rows hold."""

    shard: Shard
    facts: Facts

    @classmethod
    def of(cls, rows: Mapping[str, str]) -> Built:
        """Read what `BuildShard` handed on."""
        return cls(Shard.model_validate_json(rows["shard"]), Facts.model_validate_json(rows["facts"]))


class BuildShard:
    """Reads the pictures of one shard's rows, completes the rows and writes the shard."""

    def __init__(self, images: str, out: str, reporter: Reporter) -> None:
        self._images = images
        self._out = out
        self._reporter = reporter

    def __call__(self, items: pa.Table) -> pa.Table:
        """Turn one item (`index`, `rows` as JSON) into a manifest entry and facts of its rows, as JSON."""
        (item,) = items.to_pylist()
        assembled, completed, turned = json.loads(item["rows"]), [], 0
        for row in assembled:
            image = self._read(row["image_file"])
            turned += isinstance(image, bytes) and is_turned(image)
            completed.append(complete_row(row, image))
            self._reporter("images read", 1)
        shard = write_shard(self._out, item["index"], pa.Table.from_pylist(completed, schema=IMAGE_ROW))
        self._reporter.flush()
        facts = facts_of(completed, assembled, turned)
        return pa.table({"shard": [shard.model_dump_json()], "facts": [facts.model_dump_json()]})

    def _read(self, name: str) -> bytes | ImageError:
        """Read a picture; what can never be read becomes a reason, passing faults are raised."""
        if max(len(part.encode()) for part in name.split("/")) > MAX_NAME_BYTES:
            return ImageError(
                "image.missing", f"no file has a name like {name[:40]}..., {len(name)} characters"
            )
        try:
            return storage.read_bytes(storage.join_inside(self._images, name))
        except ImageError as problem:
            return problem
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return ImageError("image.missing", f"{name} is not in {self._images}")


def write_manifest(
    out: str,
    banks: Mapping[tuple[str, str], list[Row]],
    shards: Sequence[Shard],
    facts: Facts,
    images_per_shard: int,
    joins: Sequence[Join] = (),
) -> Manifest:
    """Write caption banks and, last of all, the manifest: a folder with one is whole.

    Args:
        out: folder of the dataset.
        banks: caption banks by (dataset, split).
        shards: entries of the shards that were written, in order.
        facts: of all rows.
        images_per_shard: for the record.
        joins: how the sources met.
    """
    manifest = Manifest(
        format=FORMAT,
        images_per_shard=images_per_shard,
        proposal_sets=sorted(facts.sets),
        exact_mask_sets=sorted(n for n, s in facts.sets.items() if s.masks and n.startswith("gold/")),
        splits=[_write_split(out, *name, bank, facts) for name, bank in banks.items()],
        shards=list(shards),
        sets=dict(sorted(facts.sets.items())),
        joins=list(joins),
        reasons=list(facts.reasons),
    )
    storage.write_bytes(storage.join(out, MANIFEST), manifest.model_dump_json(indent=1).encode())
    return manifest


def _write_split(out: str, dataset: str, split: str, bank: list[Row], facts: Facts) -> Split:
    name, digest = write_bank(out, dataset, split, bank)
    counts = facts.splits.get(f"{dataset}/{split}", SplitFacts())
    return Split(
        dataset=dataset,
        split=split,
        images=counts.images,
        refs=counts.refs,
        expressions=len(bank),
        parsed=counts.parsed,
        set_aside=counts.set_aside,
        bank=name,
        bank_digest=digest,
        parsers=sorted({entry["parse"]["parser"] for entry in bank if entry["parse"]}),
    )
