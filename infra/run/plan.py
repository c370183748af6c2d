"""What a run needs, what of it exists, and what is left to make. Imports neither ray nor torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from infra.dataset.shards import Manifest, Shard, Split
from infra.execution.settings import Settings
from infra.execution.vitals import SHARDS_DONE
from infra.run.artifacts import Address, ArtifactStore
from infra.run.product_graph import ProductGraph, product_graph
from operators.datasets.joins import Join
from operators.methods.models import Encoder, Segmenter
from operators.methods.products import Features, Masks, Predictions, Product, Texts

T = TypeVar("T")
# Folder, and the names in it.
Listed = tuple[str, Mapping[str, str]]


@dataclass(frozen=True)
class Plan:
    """A run as data: it travels to every actor.

    Attributes:
        data: folder of the prepared shards.
        store: artifacts folder.
        shards: the shards to cover, in manifest order.
        splits: the chosen dataset splits.
        predictions: the products asked for; everything else follows from them.
        redo: parts that this run makes anew although they exist.
        joins: how the sources of the data met, for the record.
        gaps: what of the data is known to be set aside, for people.
    """

    data: str
    store: ArtifactStore
    shards: tuple[Shard, ...]
    splits: tuple[Split, ...]
    predictions: tuple[Predictions, ...]
    settings: Settings = field(default_factory=Settings)
    redo: frozenset[Address] = frozenset()
    joins: tuple[Join, ...] = ()
    gaps: tuple[str, ...] = ()

    @cached_property
    def shards_by_index(self) -> dict[int, Shard]:
        """Return the shards by their number."""
        return {shard.index: shard for shard in self.shards}

    @property
    def encoders(self) -> list[Encoder]:
        """Return every encoder of the products, in their order."""
        return _distinct(encoder for product in self.predictions for encoder in product.encoders)

    @cached_property
    def banks(self) -> dict[tuple[str, str], Split]:
        """Return the chosen splits by (dataset, split)."""
        return {(split.dataset, split.split): split for split in self.splits}

    @property
    def bank_sizes(self) -> dict[tuple[str, str], int]:
        """Return the number of captions by (dataset, split)."""
        return {name: split.expressions for name, split in self.banks.items()}

    def address(self, product: Product, shard: Shard | None = None) -> Address:
        """Return where a part lies; texts belong to a split, everything else to a shard."""
        if isinstance(product, Texts):
            split = self.banks[product.dataset, product.split]
            return Address(product.folder, f"{product.dataset}-{product.split}", split.bank_digest)
        assert shard is not None
        digest = shard.row_digest if isinstance(product, Predictions) else shard.image_digest
        return Address(product.folder, shard.stem, digest)

    @cached_property
    def graph(self) -> ProductGraph:
        """Return the products, each once, and which is made from which."""
        return product_graph(self.predictions)

    def missing_predictions(self, shard: Shard) -> list[Predictions]:
        """Return the predictions of a shard that have no part yet."""
        return [self.predictions[place] for place in self._predictions(shard)]

    def needed_features(self, shard: Shard) -> list[Features]:
        """Return the features that the missing predictions of a shard need, whether or not they exist."""
        return [self.graph.features[place] for place in self._needed(shard)]

    def missing_features(self, shard: Shard) -> list[Features]:
        """Return the features that the missing predictions of a shard need and that have no part yet."""
        return [self.graph.features[place] for place in self._features(shard)]

    def missing_masks(self, shard: Shard) -> list[Masks]:
        """Return the masks that the missing features of a shard need and that have no part yet."""
        return [self.graph.masks[place] for place in self._masks(shard)]

    def missing_texts(self) -> list[Texts]:
        """Return the text parts that some missing prediction needs and that do not exist."""
        pending = {place for shard in self.shards for place in self._predictions(shard)}
        needed = _distinct(text for place in sorted(pending) for text in self.graph.texts_of[place])
        parts = [(self.graph.texts[place], self.address(self.graph.texts[place])) for place in needed]
        return [text for text, part in parts if part in self.redo or not self.store.has(part)]

    def missing_models(self) -> tuple[list[Encoder], list[Segmenter]]:
        """Return the models that some missing part needs."""
        features = {place for shard in self.shards for place in self._features(shard)}
        masks = {place for shard in self.shards for place in self._masks(shard)}
        encoders = [text.encoder for text in self.missing_texts()]
        encoders += [self.graph.features[place].encoder for place in sorted(features)]
        return _distinct(encoders), _distinct(self.graph.masks[place].segmenter for place in sorted(masks))

    # Below, products are places in the graph and parts are names in listings: with 10,000 shards and 50
    # products these questions are asked millions of times.

    def _predictions(self, shard: Shard) -> list[int]:
        name = f"{shard.stem}-{shard.row_digest}.parquet"
        return self._lacking(self._listed_predictions, range(len(self.predictions)), name)

    def _needed(self, shard: Shard) -> list[int]:
        return _distinct(
            f for prediction in self._predictions(shard) for f in self.graph.features_of[prediction]
        )

    def _features(self, shard: Shard) -> list[int]:
        needed = self._needed(shard)
        name = f"{shard.stem}-{shard.image_digest}.parquet"
        return self._lacking(self._listed_features, needed, name) if needed else []

    def _masks(self, shard: Shard) -> list[int]:
        needed = _distinct(mask for feature in self._features(shard) for mask in self.graph.masks_of[feature])
        name = f"{shard.stem}-{shard.image_digest}.parquet"
        return self._lacking(self._listed_masks, needed, name) if needed else []

    def _lacking(self, listed: Sequence[Listed], places: Sequence[int], name: str) -> list[int]:
        again = self._redo_by_name.get(name, ())
        return [p for p in places if name not in listed[p][1] or (again and listed[p][0] in again)]

    @cached_property
    def _listed_predictions(self) -> list[Listed]:
        return self._listed(self.graph.predictions)

    @cached_property
    def _listed_features(self) -> list[Listed]:
        return self._listed(self.graph.features)

    @cached_property
    def _listed_masks(self) -> list[Listed]:
        return self._listed(self.graph.masks)

    def _listed(self, products: Sequence[Product]) -> list[Listed]:
        folders = [product.folder for product in products]
        self.store.look(folders)
        return [(folder, self.store.stamps(folder)) for folder in folders]

    @cached_property
    def _redo_by_name(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for address in self.redo:
            found.setdefault(address.name, set()).add(address.folder)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what was looked up: another process must look for itself."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def pending_shards(self) -> list[Shard]:
        """Return the shards that still lack a prediction."""
        return [shard for shard in self.shards if self.missing_predictions(shard)]

    def needed_files(self) -> list[str]:
        """Return the names of the shards and caption banks that the missing parts are made from."""
        banks = [self.banks[text.dataset, text.split].bank for text in self.missing_texts()]
        return [shard.name for shard in self.pending_shards()] + _distinct(banks)

    def planned_expressions(self) -> dict[tuple[str, str], int]:
        """Return the number of expressions by (dataset, split), from the manifest."""
        return {
            (s.dataset, s.split): sum(shard.expressions.get(s.name, 0) for shard in self.shards)
            for s in self.splits
        }


def choose_shards(manifest: Manifest, splits: Sequence[Split], limit: int | None) -> tuple[Shard, ...]:
    """Return the shards that hold a chosen split, whole, up to the first `limit` images.

    A limit is rounded up to whole shards, so that its parts serve the full run too.
    """
    names = {split.name for split in splits}
    chosen: list[Shard] = []
    images = 0
    for shard in manifest.shards:
        if limit is not None and images >= limit:
            break
        if names & set(shard.expressions):
            chosen.append(shard)
            images += shard.images
    return tuple(chosen)


def describe(plan: Plan, where: str, more: Sequence[tuple[str, str]] = ()) -> str:
    """Say what a run covers, what exists and what will be made.

    Args:
        plan: of the run.
        where: it runs, in a line.
        more: (name, text) of further lines.
    """
    pending = plan.pending_shards()
    features = [(f, s) for s in pending for f in plan.missing_features(s)]
    needed = sum(len(plan.needed_features(s)) for s in pending)
    expressions = plan.planned_expressions()
    lines = {product.unseeded for product in plan.predictions}
    rows = [
        ("runs on", where),
        ("images", f"{sum(s.images for s in plan.shards)} in {len(plan.shards)} shards"),
        ("regions", f"{sum(s.regions for s in plan.shards)}"),
        ("expressions", ", ".join(f"{d} {s}: {n}" for (d, s), n in expressions.items())),
        ("rows of the table", f"{len(lines)} (method x encoders x proposals)"),
        ("predictions", _progress(len(plan.predictions) * len(plan.shards), len(_pairs(plan, pending)))),
        ("features", _progress(needed, len(features)) if pending else "not needed"),
        ("masks", f"{sum(len(plan.missing_masks(s)) for s in pending)} parts to make"),
        ("texts to encode", f"{len(plan.missing_texts())} caption banks" if plan.missing_texts() else "none"),
        ("artifacts", plan.store.root),
        *more,
        *((f"encoder {encoder.name}", encoder.told()) for encoder in plan.encoders),
        *(("note", gap) for gap in plan.gaps),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["Plan"] + [f"  {name:<{width}}  {value}" for name, value in rows])


def totals(plan: Plan, pending: Sequence[Shard]) -> dict[str, int]:
    """Return how much of each reported event a stream over some shards will see."""
    scored = 0
    for shard in pending:
        for product in plan.missing_predictions(shard):
            scored += sum(shard.expressions.get(f"{d}/{s}", 0) for d, s, _ in product.splits)
    encoded = sum(s.images for s in pending if plan.missing_features(s))
    segmented = sum(s.images * len(plan.missing_masks(s)) for s in pending)
    return {
        "images segmented": segmented,
        "images encoded": encoded,
        "expressions scored": scored,
        SHARDS_DONE: len(pending),
    }


def _progress(total: int, missing: int) -> str:
    return f"{total} parts, {total - missing} exist, {missing} to make"


def _pairs(plan: Plan, shards: Iterable[Shard]) -> list[tuple[Shard, Predictions]]:
    return [(shard, product) for shard in shards for product in plan.missing_predictions(shard)]


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
