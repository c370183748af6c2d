"""Let SAM propose regions (a grid of points) and write new shards with the proposal set `sam-grid`.

Example: python pipelines/propose_grid.py --data shards --out shards-grid --segmenter vit_h:published
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import infra

infra.require_packages()

from infra.dataset.building import Built
from infra.dataset.shards import MANIFEST, Manifest, Shard, read_bank, read_manifest
from infra.errors import InputError
from infra.execution.executor import make_executor
from infra.execution.reachable import require_reachable
from infra.execution.stage import Stage
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import ExecutorOptions, Exit
from infra.run.proposing import PROPOSAL_SET, ProposeGrid
from infra.run.stages import ReadShard, shard_item
from infra.weights.checkpoint_check import check_weights
from infra.weights.segmenters import resolve_segmenter
from operators.datasets.facts import Facts, SetFacts, merged


class GridOptions(ExecutorOptions):
    """Add SAM's own proposals (a grid of points) to prepared shards, as new shards."""

    data: str
    """Folder made by prepare_refcoco.py."""
    out: str
    """Folder for the new shards."""
    segmenter: str = "vit_h:published"
    """SAM: vit_b, vit_l or vit_h, a colon, and `published`, a file or a URL."""


def propose_grid(options: GridOptions) -> int:
    """Run the job and return its exit status.

    Raises:
        InputError: for unreadable shards, an unknown segmenter, or shards that would be overwritten.
    """
    places = {"--data": options.data, "--out": options.out}
    require_reachable(places, nodes=1, shared_filesystem=options.shared_filesystem)
    manifest, out = read_manifest(options.data), storage.absolute(options.out)
    if out == storage.absolute(options.data):
        raise InputError(f"--out {options.out}: that is --data; the new shards need a folder of their own")
    segmenter = resolve_segmenter(options.segmenter)
    storage.require_writable(out)
    check_weights([], [segmenter])
    executor = make_executor(options.executor, options.settings())
    require_reachable(places, executor.nodes, options.shared_filesystem)
    stages = [
        Stage(ReadShard, {"data": storage.absolute(options.data)}),
        Stage(ProposeGrid, {"segmenter": segmenter, "settings": executor.settings, "out": out}, size="model"),
    ]
    executor.require_fit([stages])
    items = [shard_item(shard) for shard in manifest.shards]
    images = sum(shard.images for shard in manifest.shards)
    entries = executor.run("grid proposals", items, stages, {"images proposed": images})
    built = sorted((Built.of(entry) for entry in entries), key=lambda b: b.shard.index)
    shards = [b.shard for b in built]
    if len(shards) != len(items):
        print(f"incomplete: {len(shards)} of {len(items)} shards were written; run the same command again")
        return Exit.INCOMPLETE
    _write_manifest(options.data, out, manifest, shards, merged(b.facts for b in built))
    regions = sum(shard.regions for shard in shards) - sum(shard.regions for shard in manifest.shards)
    print(f"{regions} new regions in {images} images, proposal set {PROPOSAL_SET}: {out}")
    return Exit.COMPLETE


def _write_manifest(data: str, out: str, manifest: Manifest, shards: list[Shard], facts: Facts) -> None:
    """Copy the caption banks and write the manifest last: a folder with one is whole."""
    for split in manifest.splits:
        read_bank(data, split)  # refuses a changed bank
        bank = storage.read_bytes(storage.join(data, split.bank))
        storage.write_bytes(storage.join(out, split.bank), bank)
    sets = sorted({*manifest.proposal_sets, PROPOSAL_SET})
    counts = manifest.sets | {PROPOSAL_SET: facts.sets.get(PROPOSAL_SET, SetFacts())}
    renewed = manifest.model_copy(update={"proposal_sets": sets, "shards": shards, "sets": counts})
    storage.write_bytes(storage.join(out, MANIFEST), renewed.model_dump_json(indent=1).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(GridOptions, propose_grid, argv)


if __name__ == "__main__":
    sys.exit(main())
