"""Building the shards, caption banks and proposal sets of a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from infra import storage
from infra.progress import Reporter
from infra.shards import Split, write_bank, write_shard
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


def write_splits(out: str, banks: Mapping[tuple[str, str], list[Row]], rows: list[Row]) -> list[Split]:
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
