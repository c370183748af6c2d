"""Building the shards, caption banks and proposal sets of a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from infra.dataset.shards import FORMAT, MANIFEST, Manifest, Shard, Split, write_bank, write_shard
from infra.execution.progress import Reporter
from infra.files import storage
from operators.datasets.image_rows import Row, complete_row
from operators.pixels.images import ImageError
from operators.rows.records import IMAGE_ROW

MAX_NAME_BYTES = 255


class BuildShard:
    """Reads the pictures of one shard's rows, completes the rows and writes the shard."""

    def __init__(self, images: str, out: str, reporter: Reporter) -> None:
        self._images = images
        self._out = out
        self._reporter = reporter

    def __call__(self, items: pa.Table) -> pa.Table:
        """Turn one item (`index`, `rows` as JSON) into one manifest entry as JSON."""
        (item,) = items.to_pylist()
        completed = []
        for row in json.loads(item["rows"]):
            completed.append(complete_row(row, self._read(row["image_file"])))
            self._reporter("images read", 1)
        shard = write_shard(self._out, item["index"], pa.Table.from_pylist(completed, schema=IMAGE_ROW))
        self._reporter.flush()
        return pa.table({"shard": [shard.model_dump_json()]})

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


def proposal_sets(rows: Sequence[Row]) -> list[str]:
    """Return the names of all proposal sets."""
    return sorted({s["name"] for row in rows for s in row["proposal_sets"]})


def exact_mask_sets(rows: Sequence[Row]) -> list[str]:
    """Return the names of the gold sets in which a region has a mask of the dataset's own."""
    return sorted(
        {
            s["name"]
            for row in rows
            for s in row["proposal_sets"]
            if s["name"].startswith("gold/") and any(row["regions"][i]["exact_mask"] for i in s["region_ids"])
        }
    )


def write_splits(out: str, banks: Mapping[tuple[str, str], list[Row]], rows: Sequence[Row]) -> list[Split]:
    """Write the caption bank of every split and return the entries of the manifest."""
    splits = []
    for (dataset, split), bank in banks.items():
        name, digest = write_bank(out, dataset, split, bank)
        here = [r for row in rows for r in row["refs"] if (r["dataset"], r["split"]) == (dataset, split)]
        images = sum(any((r["dataset"], r["split"]) == (dataset, split) for r in row["refs"]) for row in rows)
        splits.append(
            Split(
                dataset=dataset,
                split=split,
                images=images,
                refs=len(here),
                expressions=len(bank),
                bank=name,
                bank_digest=digest,
                parsers=sorted({entry["parse"]["parser"] for entry in bank if entry["parse"]}),
            )
        )
    return splits


def write_manifest(
    out: str,
    rows: Sequence[Row],
    banks: Mapping[tuple[str, str], list[Row]],
    shards: Sequence[Shard],
    images_per_shard: int,
) -> Manifest:
    """Write caption banks and, last of all, the manifest: a folder with one is whole.

    Args:
        out: folder of the dataset.
        rows: of all its images.
        banks: caption banks by (dataset, split).
        shards: entries of the shards that were written, in order.
        images_per_shard: for the record.
    """
    manifest = Manifest(
        format=FORMAT,
        images_per_shard=images_per_shard,
        proposal_sets=proposal_sets(rows),
        exact_mask_sets=exact_mask_sets(rows),
        splits=write_splits(out, banks, rows),
        shards=list(shards),
    )
    storage.write_bytes(storage.join(out, MANIFEST), manifest.model_dump_json(indent=1).encode())
    return manifest
