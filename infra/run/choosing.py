"""What of a prepared dataset a run covers: splits, proposal sets and masks, refused where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from infra.dataset.shards import Manifest, Split
from infra.errors import InputError


def choose_splits(
    manifest: Manifest, data: str, datasets: Sequence[str], splits: Sequence[str]
) -> tuple[Split, ...]:
    """Return the splits that were asked for, in the manifest's order.

    Args:
        manifest: of the dataset.
        data: its folder, for messages.
        datasets: names; all if empty.
        splits: names; all if empty.

    Raises:
        InputError: naming the flag and what there is.
    """
    known = ", ".join(split.name for split in manifest.splits)
    for flag, asked in (("datasets", datasets), ("splits", splits)):
        have = {split.dataset if flag == "datasets" else split.split for split in manifest.splits}
        for value in asked:
            if value not in have:
                raise InputError(f"--{flag} {value}: not in {data}, which has {known}")
    chosen = tuple(
        split
        for split in manifest.splits
        if split.dataset in (datasets or [split.dataset]) and split.split in (splits or [split.split])
    )
    if not chosen:
        raise InputError(f"no split of {data} fits --datasets and --splits; it has {known}")
    return chosen
