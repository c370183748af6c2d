"""The steps of a job as callables from table to table, the same under Ray and in one process.

A stage looks which parts are missing, lets its operator make them, writes them, and hands on the rows. The
class names are what Ray's dashboard shows.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import pyarrow as pa

from infra.dataset.shards import Shard, read_bank, read_parsed_bank, read_shard
from infra.execution.gpu import gpu_percent
from infra.execution.progress import Reporter
from infra.execution.vitals import GPU_PERCENT, GPU_SAMPLES, SHARDS_DONE, SHARDS_READ
from infra.run.plan import Plan
from infra.weights.sources import local_file
from operators.methods.method import prompted
from operators.methods.products import Product, Texts

SHARD_INDEX, SHARD = "shard_index", "shard"
# Beside a GPU: threads of each step of the host, and pictures in one pass of SAM's encoder.
HOST_THREADS, PICTURES_PER_BATCH = 4, 8


def shard_item(shard: Shard) -> dict[str, Any]:
    """Return a shard as an item of the stream: a task that reads it needs no plan, which may be large."""
    return {SHARD_INDEX: shard.index, SHARD: shard.model_dump_json()}


class ReadShard:
    """Reads the shard that an item describes; its rows carry the shard's number."""

    def __init__(self, data: str, reporter: Reporter) -> None:
        self._data, self._reporter = data, reporter

    def __call__(self, items: pa.Table) -> pa.Table:
        """Turn one item into the rows of its shard."""
        (described,) = items.column(SHARD).to_pylist()
        shard = Shard.model_validate_json(described)
        rows = read_shard(self._data, shard)
        self._reporter(SHARDS_READ, 1)
        return rows.append_column(SHARD_INDEX, pa.array([shard.index] * rows.num_rows, pa.int32()))


class MakeParts:
    """Base of the stages that write parts aligned with a shard."""

    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self._plan = plan
        self._reporter = reporter

    @cached_property
    def _operator(self) -> Any:
        """The operator, built when the first missing part asks for it."""
        return self.build_operator(self._plan, self._reporter)

    @abstractmethod
    def build_operator(self, plan: Plan, reporter: Reporter) -> Any:
        """Return the operator that makes this stage's products."""

    @abstractmethod
    def missing(self, plan: Plan, shard: Shard) -> list[Any]:
        """Return this stage's products that a shard lacks."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Make the missing parts of one shard and return its rows."""
        (index,) = set(rows.column(SHARD_INDEX).to_pylist())
        shard = self._plan.shards_by_index[index]
        if rows.num_rows != shard.images:
            raise RuntimeError(f"{shard.name} arrived with {rows.num_rows} of its {shard.images} rows")
        wanted = self.missing(self._plan, shard)
        if wanted:
            images = rows.drop_columns([SHARD_INDEX])
            keys = images.column("image_key").to_pylist()

            def load(product: Product) -> pa.Table:
                aligned = None if product.kind == "texts" else keys
                return self._plan.store.get(self._plan.address(product, shard), aligned)

            for product, part in self._operator(images, wanted, load):
                self._plan.store.put(self._plan.address(product, shard), part)
        self._report_gpu()
        self._reporter.flush()
        return rows

    def _report_gpu(self) -> None:
        """Report how busy the GPU is at the end of a shard, where NVML tells."""
        percent = gpu_percent()
        if percent is not None:
            self._reporter(GPU_PERCENT, percent)
            self._reporter(GPU_SAMPLES, 1)


class SegmentWithSam(MakeParts):
    """One mask for every region."""

    def build_operator(self, plan: Plan, reporter: Reporter) -> Any:
        """Load torch and the segmenter's operator."""
        from operators.segment.operator import SegmentWithSam
        from operators.segment.segmenter import load_segmenter

        settle_torch(plan.settings.threads)
        device = plan.settings.device
        return SegmentWithSam(
            load_segmenter=lambda s: load_segmenter(s, local_file(s.weights), device),
            host_threads=_host_threads(device),
            pictures_per_batch=1 if device == "cpu" else PICTURES_PER_BATCH,
            report=reporter,
        )

    def missing(self, plan: Plan, shard: Shard) -> list[Any]:
        """Return missing masks."""
        return plan.missing_masks(shard)


class EncodeWithClip(MakeParts):
    """Image features of every variant and encoder."""

    def build_operator(self, plan: Plan, reporter: Reporter) -> Any:
        """Load torch and the models' operator."""
        from operators.encode.images import EncodeWithClip

        settle_torch(plan.settings.threads)
        return EncodeWithClip(
            open_weights=local_file,
            device=plan.settings.device,
            views_per_batch=plan.settings.views_per_batch,
            host_threads=_host_threads(plan.settings.device),
            report=reporter,
        )

    def missing(self, plan: Plan, shard: Shard) -> list[Any]:
        """Return missing features."""
        return plan.missing_features(shard)


class ScoreExpressions(MakeParts):
    """Predictions of every method and proposal set; the last stage, which hands on the shard number alone."""

    def build_operator(self, plan: Plan, reporter: Reporter) -> Any:
        """Load the scorer of the plan's task."""
        from operators.tasks.task import task_of

        return task_of(plan.predictions[0]).make_scorer(reporter)

    def missing(self, plan: Plan, shard: Shard) -> list[Any]:
        """Return missing predictions."""
        return plan.missing_predictions(shard)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Write the predictions of one shard and return its number."""
        super().__call__(rows)
        self._reporter(SHARDS_DONE, 1)
        return rows.select([SHARD_INDEX]).slice(0, 1)


class EncodeTexts:
    """Text features of one encoder that are missing, of banks and of phrases, each distinct string once."""

    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self._plan = plan
        self._reporter = reporter

    def __call__(self, items: pa.Table) -> pa.Table:
        """Encode for the encoder that the item names by its place among the plan's encoders."""
        from operators.encode.texts import EncodeTexts

        settle_torch(self._plan.settings.threads)
        (index,) = items.column("encoder").to_pylist()
        encoder = self._plan.encoders[index]
        parts = [part for part in self._plan.missing_texts() if part.encoder == encoder]
        strings = {part: prompted_bank(self._plan, part) for part in parts}
        operator = EncodeTexts(
            encoder, open_weights=local_file, device=self._plan.settings.device, report=self._reporter
        )
        features = operator.encode(string for of_part in strings.values() for string in of_part)
        for part in parts:
            self._plan.store.put(self._plan.address(part), operator.part(strings[part], features))
        self._reporter.flush()
        return items


def prompted_bank(plan: Plan, part: Texts) -> list[str]:
    """Return the strings of a text part: every caption of the split in file order, or R's phrases."""
    split = plan.banks[part.dataset, part.split]
    if part.relations is None:
        return [prompted(part.template, raw) for raw in read_bank(plan.data, split)]
    from operators.encode.texts import phrases

    return phrases(read_parsed_bank(plan.data, split), part.relations, part.template)


def _host_threads(device: str) -> int:
    """Return how many threads may work beside the model; on a CPU they would take its cores."""
    return 0 if device == "cpu" else HOST_THREADS


def settle_torch(threads: int) -> None:
    """Fix what decides the last bits of float32 sums: the number of threads on CPU, TF32 off on a GPU."""
    import torch

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
