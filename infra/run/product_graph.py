"""The products of a run, each once, and which is made from which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from operators.methods.products import Features, Masks, Predictions, Product, Texts

P = TypeVar("P", bound=Product)


@dataclass(frozen=True)
class ProductGraph:
    """Products in the order in which the plan first needs them.

    Attributes:
        features_of: by prediction, the places of the features that it is scored from.
        texts_of: by prediction, the places of the texts.
        masks_of: by feature, the places of the masks that it is drawn with.
    """

    predictions: tuple[Predictions, ...]
    features: tuple[Features, ...]
    masks: tuple[Masks, ...]
    texts: tuple[Texts, ...]
    features_of: tuple[tuple[int, ...], ...]
    texts_of: tuple[tuple[int, ...], ...]
    masks_of: tuple[tuple[int, ...], ...]


def product_graph(predictions: Sequence[Predictions]) -> ProductGraph:
    """Build the graph below some predictions."""
    features: _Numbered[Features] = _Numbered()
    masks: _Numbered[Masks] = _Numbered()
    texts: _Numbered[Texts] = _Numbered()
    features_of = tuple(features.places(f for row in p.features() for f in row) for p in predictions)
    texts_of = tuple(texts.places(t for row in p.texts() for t in row) for p in predictions)
    masks_of = tuple(masks.places([f.masks] if f.masks else []) for f in features.products)
    return ProductGraph(
        predictions=tuple(predictions),
        features=tuple(features.products),
        masks=tuple(masks.products),
        texts=tuple(texts.products),
        features_of=features_of,
        texts_of=texts_of,
        masks_of=masks_of,
    )


class _Numbered(Generic[P]):
    """Products, each once, by the order in which they came; told apart by folder, which is fast."""

    def __init__(self) -> None:
        self.products: list[P] = []
        self._place: dict[tuple[str, ...], int] = {}

    def places(self, products: Iterable[P]) -> tuple[int, ...]:
        """Add what is new, and return every product's place, each once."""
        return tuple(dict.fromkeys(self._add(product) for product in products))

    def _add(self, product: P) -> int:
        # Texts of all splits share a folder.
        key = (product.folder, *((product.dataset, product.split) if isinstance(product, Texts) else ()))
        if key not in self._place:
            self._place[key] = len(self.products)
            self.products.append(product)
        return self._place[key]
