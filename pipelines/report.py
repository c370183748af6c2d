"""Write the report of a finished run: tables, figures, what CLIP was shown, examples, provenance.

Example: python pipelines/report.py --run out/runs/20260101T120000.000000Z-0123456789ab
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from infra.dataset.shards import Shard, read_shard
from infra.errors import InputError
from infra.files import storage
from infra.run.command_line import run_job
from infra.run.options import Exit, Options
from infra.run.record import FinishedRun, read_run
from infra.weights.resolve import local_file
from operators.methods.models import Encoder, encoders_label, weights_label
from operators.methods.products import Predictions
from operators.pixels.images import ImageError
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
from operators.tables.accuracy import Result, group_seeds
from operators.tables.metrics import count_predictions

if TYPE_CHECKING:
    from operators.encode.clip_model import ClipModel

REPORT = "report.html"
# What keeps the file small enough for e-mail (about 4 MB at most): pictures are 15 to 30 kB each.
EXAMPLES_EACH = 3
METHODS_WITH_EXAMPLES = 12
STRIP_IMAGES = 2
STRIP_REGIONS = 6
STRIP_DRAWINGS = 24
ATTENTION_SETTINGS = 4
ATTENTION_REGIONS = 4
SET_ASIDE_LISTED = 30


class ReportOptions(Options):
    """Write the report of a finished run: one HTML file that opens from disk and from e-mail."""

    run: str
    """Folder of the run, <out>/runs/<time>-<plan>; any fsspec URL."""
    out: str | None = None
    """File to write; report.html in the run's folder by default."""
    data: str | None = None
    """Where the shards lie now, if they were moved since the run."""
    artifacts: str | None = None
    """Where the artifacts lie now, if they were moved since the run."""


def report(options: ReportOptions) -> int:
    """Write the report and return the exit status.

    Raises:
        InputError: if the run is absent or incomplete, or its parts or shards are not there any more.
    """
    written = write_report(options.run, options.out, data=options.data, artifacts=options.artifacts)
    print(f"report: {written}", flush=True)
    return Exit.COMPLETE


def write_report(
    run: str, out: str | None = None, *, data: str | None = None, artifacts: str | None = None
) -> str:
    """Make the report of a finished run; the same parts give the same bytes.

    Args:
        run: the run's folder.
        out: file to write; `report.html` in the run's folder by default.
        data: where the shards lie, if not where the run found them.
        artifacts: where the parts lie, if not where the run left them.

    Returns:
        The file.

    Raises:
        InputError: as `report`.
    """
    finished = read_run(run, data, artifacts)
    url = storage.absolute(out) if out else storage.join(finished.folder, REPORT)
    if storage.exists(url) and storage.file_info(url)["type"] == "directory":
        raise InputError(f"--out {url} is a folder; name a file in it")
    storage.require_writable(posixpath.dirname(url))
    storage.write_bytes(url, _Reader(finished).page())
    return url


@dataclass
class _Reader:
    """Reads what the sections need, every part and every shard once."""

    run: FinishedRun
    shards: dict[int, pa.Table] = field(default_factory=dict)

    def page(self) -> bytes:
        counted, picks = [], {}
        aside: dict[tuple[str, str], list[Pick]] = {}
        for folder, product in self.run.plan.predictions.items():
            parts = self.run.predictions(folder)
            counted.append((product, count_predictions(parts.values())))
            picks[product] = pick_examples(parts, EXAMPLES_EACH) if product.method.variants else []
            for pick in set_aside(parts):
                name = (pick.prediction["dataset"], pick.prediction["expression_id"])
                aside.setdefault(name, []).append(pick)
        results, splits = group_seeds(counted), self.run.splits
        # `group_seeds` names a line by seed 0; examples are those of the first seed that was run.
        shown = [(result, chosen) for result in results if (chosen := picks[_first_seed(result)])]
        pictured = _first_images([pick for _, chosen in shown for pick in chosen])
        sections = [
            accuracy_section(results, splits),
            figures_section(results, splits),
            reproduction_section(results, self.run.plan.parsers),
            strips_section(list(self._strips(pictured))),
            self._attention(pictured),
            self._examples(shown),
            set_aside_section(aside, self._texts(aside), SET_ASIDE_LISTED),
            provenance_section(self.run.record, _outcome(self.run.record)),
        ]
        return render("Visual prompts for CLIP", self._summary(results), self._warning(results), sections)

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
        models = [m for result in results for m in result.product.models]
        return [
            ("lines of the table", str(len(results))),
            ("images", str(sum(shard.images for shard in plan.shards))),
            ("expressions", str(expressions)),
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


def _load(encoder: Encoder) -> ClipModel | None:
    """Return an encoder, None if its weights cannot be had on this machine."""
    from operators.encode.clip_model import ClipModel

    try:
        return ClipModel(encoder, local_file(encoder.weights), "cpu")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job(ReportOptions, report, argv)


if __name__ == "__main__":
    sys.exit(main())
