"""Reads a finished run's parts and shards for the sections of its report: no Ray, no GPU.

No model either, but for pictures of attention: no part holds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from infra.dataset.shards import Shard, read_shard
from infra.errors import InputError
from infra.run.options import Exit
from infra.run.record import FinishedRun
from infra.weights.sources import local_file
from operators.methods.models import Encoder, encoders_label, weights_label
from operators.methods.products import Predictions
from operators.pixels.images import ImageError
from operators.report.ablation import ablation_section
from operators.report.examples import Pick, example_card, find_expression, pick_examples, set_aside
from operators.report.page import Card, Gallery, Section, Strips, render
from operators.report.sections import (
    accuracy_section,
    attention_section,
    examples_section,
    figures_section,
    provenance_section,
    reproduction_section,
    set_aside_section,
    strips_section,
    weights_warning,
)
from operators.tables.ablation_grid import Setting, expand, read_axis
from operators.tables.accuracy import Result, group_seeds
from operators.tables.metrics import count_predictions

if TYPE_CHECKING:
    from operators.encode.encoder import ImageTextModel

# What keeps the file small enough for e-mail (about 4 MB at most): pictures are 15 to 30 kB each.
EXAMPLES_EACH = 3
METHODS_WITH_EXAMPLES = 12
STRIP_IMAGES = 2
STRIP_REGIONS = 6
STRIP_DRAWINGS = 24
ATTENTION_SETTINGS = 4
ATTENTION_REGIONS = 4
SET_ASIDE_LISTED = 30


@dataclass
class ReportReader:
    """Reads what the sections need, every part and every shard once."""

    run: FinishedRun
    shards: dict[int, pa.Table] = field(default_factory=dict)

    def page(self) -> bytes:
        """Return the report as HTML."""
        counted, picks = [], {}
        aside: dict[tuple[str, str], list[Pick]] = {}
        for folder, product in self.run.plan.predictions.items():
            parts = self.run.predictions(folder)
            counted.append((product, count_predictions(parts.values())))
            picks[product] = pick_examples(parts, EXAMPLES_EACH) if product.method.variants else []
            for pick in set_aside(parts):
                name = (pick.prediction["dataset"], pick.prediction["expression_id"])
                aside.setdefault(name, []).append(pick)
        results, splits = group_seeds(counted, self.run.plan.bank_sizes), self.run.splits
        # `group_seeds` names a line by seed 0; examples are those of the first seed that was run.
        shown = [(result, chosen) for result in results if (chosen := picks[_first_seed(result)])]
        pictured = _first_images([pick for _, chosen in shown for pick in chosen])
        sections = [
            accuracy_section(results, splits),
            ablation_section(self._settings(), results, splits),
            figures_section(results, splits),
            reproduction_section(results, self.run.plan.parsers),
            strips_section(list(self._strips(pictured))),
            self._attention(pictured),
            self._examples(shown),
            set_aside_section(aside, self._texts(aside), SET_ASIDE_LISTED),
            provenance_section(self.run.record, _outcome(self.run.record)),
        ]
        return render(self._title(), self._summary(results), self._warning(results), sections)

    def _settings(self) -> tuple[Setting, ...]:
        """Return the points of the grid that the run scored; none but for an ablation's."""
        options = self.run.record["options"]
        if not options.get("grid"):
            return ()
        axes = [read_axis(text) for text in options["grid"]]
        return expand(options["drawings"], axes, options["post"], options["masks"]).settings

    def _title(self) -> str:
        """Name the run: what was scored, and when."""
        datasets = ", ".join(dict.fromkeys(split.dataset for split in self.run.plan.splits))
        return f"Visual prompts on {datasets} · {self.run.record['finished'][:10]}"

    def _row(self, pick: Pick) -> dict[str, Any]:
        """Return the image row of a pick."""
        if pick.shard not in self.shards:
            self.shards[pick.shard] = read_shard(self.run.plan.data, self._shard(pick))
        return self.shards[pick.shard].slice(pick.row, 1).to_pylist()[0]

    def _shard(self, pick: Pick) -> Shard:
        return next(shard for shard in self.run.plan.shards if shard.index == pick.shard)

    def _strips(self, picks: Sequence[Pick]) -> Iterator[Strips]:
        """Draw the images of picks with every drawing."""
        from operators.report.strips import draw_strips, drawings

        wanted = drawings(self.run.plan.predictions.values())[:STRIP_DRAWINGS]
        for pick in picks:
            masks, regions = self.run.masks(self._shard(pick)), _scored_regions(pick)[:STRIP_REGIONS]
            strips = draw_strips(self._row(pick), pick.row, regions, wanted, masks)
            if strips.rows:
                yield strips

    def _attention(self, picks: Sequence[Pick]) -> Section:
        """Draw the attention to regions of the same images, for encoders whose weights are here."""
        from operators.report.attention import attention_strips, masked_features

        strips, missing = [], dict[str, None]()
        for feature in masked_features(self.run.plan.predictions.values())[:ATTENTION_SETTINGS]:
            model = _load(feature.encoder)
            if model is None:
                missing[feature.encoder.name] = None
                continue
            for pick in picks:
                masks, regions = self.run.masks(self._shard(pick)), _scored_regions(pick)[:ATTENTION_REGIONS]
                try:
                    strips.append(attention_strips(model, feature, self._row(pick), pick.row, regions, masks))
                except ImageError:  # no mask here: nothing was encoded
                    continue
        return attention_section([strip for strip in strips if strip.rows], list(missing))

    def _examples(self, shown: Sequence[tuple[Result, list[Pick]]]) -> Section:
        galleries = []
        for result, picks in shown[:METHODS_WITH_EXAMPLES]:
            product = result.product
            words = [product.method.name, encoders_label(product.encoders), f"boxes: {product.proposals}"]
            cards = [card for card in map(self._card, picks) if card]
            galleries.append(Gallery(" · ".join(words), cards))
        return examples_section(galleries, EXAMPLES_EACH, max(0, len(shown) - METHODS_WITH_EXAMPLES))

    def _card(self, pick: Pick) -> Card | None:
        try:
            return example_card(pick, self._row(pick))
        except ImageError:  # first candidates need no picture to be scored
            return None

    def _texts(self, aside: Mapping[tuple[str, str], list[Pick]]) -> dict[tuple[str, str], str]:
        listed = list(aside.items())[:SET_ASIDE_LISTED]
        return {name: find_expression(p[0], self._row(p[0]))[1]["text"] for name, p in listed}

    def _summary(self, results: list[Result]) -> list[tuple[str, str]]:
        plan = self.run.plan
        expressions = sum(
            n for s in plan.shards for name, n in s.expressions.items() if name in self._names()
        )
        encoders = {encoders_label(result.product.encoders) for result in results}
        models = [m for result in results for m in result.product.models]
        return [
            ("lines of the table", str(len(results))),
            ("images", str(sum(shard.images for shard in plan.shards))),
            ("expressions", str(expressions)),
            *([("encoder", encoders.pop())] if len(encoders) == 1 else []),
            ("weights", weights_label(models)),
            ("finished", self.run.record["finished"][:16].replace("T", " ") + " UTC"),
            ("run", self.run.folder.rpartition("/")[2]),
        ]

    def _names(self) -> set[str]:
        return {split.name for split in self.run.plan.splits}

    def _warning(self, results: list[Result]) -> str:
        return weights_warning([m.weights.label for result in results for m in result.product.models])


def _first_images(picks: Sequence[Pick]) -> list[Pick]:
    """Return the first pick of each of the first images."""
    images = {pick.image_key: pick for pick in reversed(picks)}
    return [images[key] for key in dict.fromkeys(pick.image_key for pick in picks)][:STRIP_IMAGES]


def _scored_regions(pick: Pick) -> list[int]:
    scores = zip(pick.prediction["candidate_region_ids"], pick.prediction["scores"], strict=True)
    return list(dict.fromkeys(region for region, score in scores if score is not None))


def _load(encoder: Encoder) -> ImageTextModel | None:
    """Return an encoder, None if its weights cannot be had on this machine."""
    from operators.encode.encoder import load_encoder

    try:
        return load_encoder(encoder, local_file(encoder.weights), "cpu")
    except (InputError, OSError):
        return None


def _first_seed(result: Result) -> Predictions:
    """Return the product of the first seed of a line."""
    seed = result.seeds[0]
    method = result.product.method if seed is None else result.product.method.with_seed(seed)
    return result.product.model_copy(update={"method": method})


def _outcome(record: Mapping[str, Any]) -> str:
    status = Exit(record["exit"])
    return f"exit {int(status)}, {status.name.lower().replace('_', ' ')}"
