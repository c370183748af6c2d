"""Prepares synthetic scenes as a dataset like any other: shards, caption banks and a manifest."""

from __future__ import annotations

import pyarrow as pa

from infra.dataset.building import write_manifest
from infra.dataset.shards import write_shard
from infra.execution.progress import Counts, Display
from infra.execution.vitals import Watch
from infra.files import storage
from operators.datasets.complete_rows import complete_row
from operators.datasets.facts import facts_of
from operators.datasets.image_rows import assemble_rows, caption_banks
from operators.datasets.scenes.dataset import (
    Scene,
    add_exact_masks,
    make_scene,
    parses,
    references,
    split_sizes,
)
from operators.rows.records import IMAGE_ROW

IMAGES_PER_SHARD = 10


def prepare_scenes(out: str, scenes: int, seed: int, images_per_shard: int = IMAGES_PER_SHARD) -> None:
    """Make scenes and write them as a prepared dataset; doing it twice changes nothing.

    Args:
        out: folder for shards, banks and manifest.
        scenes: how many pictures, over all splits.
        seed: everything follows from it.
        images_per_shard: pictures of one shard.
    """
    storage.require_writable(out)
    counts = Counts()
    made: dict[str, tuple[str, Scene]] = {}
    with Display(Watch("scenes", {"scenes drawn": scenes}, counts.snapshot)):
        for split, size in split_sizes(scenes).items():
            for index in range(size):
                scene = make_scene(seed, split, index)
                made[scene.name] = (split, scene)
                counts("scenes drawn", 1)
    refs = [ref for split, scene in made.values() for ref in references(scene, split)]
    known = parses(scene for _, scene in made.values())
    detections = {name: scene.detections_xywh for name, (_, scene) in made.items()}
    assembled = assemble_rows(refs, dict.fromkeys(sorted({r.dataset for r in refs}), detections), known)
    scene_of = {row["image_key"]: made[row["image_file"]][1] for row in assembled}
    rows = [complete_row(row, scene_of[row["image_key"]].png) for row in assembled]
    rows = [add_exact_masks(row, scene_of[row["image_key"]]) for row in rows]
    shards = []
    for index, start in enumerate(range(0, len(rows), images_per_shard)):
        table = pa.Table.from_pylist(rows[start : start + images_per_shard], schema=IMAGE_ROW)
        shards.append(write_shard(out, index, table))
    write_manifest(out, caption_banks(refs, known), shards, facts_of(rows, rows), images_per_shard)
