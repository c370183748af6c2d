"""What the report says: one function a section, from results and the run's own record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from operators.pictures.figures import MAX_BARS, accuracy_figure
from operators.report.examples import Pick
from operators.report.page import (
    Block,
    Facts,
    Gallery,
    Lines,
    Listing,
    Picture,
    Section,
    Strips,
    Table,
    Value,
    shortened,
)
from operators.report.pictures import data_uri
from operators.tables.accuracy import ALL_CAPTIONS_NOTE, Cell, Result, accuracy_grid
from operators.tables.formats import NOTHING
from operators.tables.reproduction import HEADERS, NOTE, Splits, reproduction_cells

NOT_REAL = {
    "random": "random numbers: they show that everything runs, and every accuracy made with them is chance",
    "tiny": "tiny models for trying the program: the accuracies say nothing about the published models",
    "unverified": "files that nothing vouches for",
}


def weights_warning(labels: Sequence[str]) -> str:
    """Say what the weights are if they are not the published ones; empty if they are."""
    said = [f"{label} weights are {NOT_REAL[label]}" for label in dict.fromkeys(labels) if label in NOT_REAL]
    return f"{'; '.join(said)}.".capitalize() if said else ""


def accuracy_section(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> Section:
    """Return the table of accuracies, the splits of a dataset side by side."""
    datasets = list(dict.fromkeys(dataset for dataset, _ in splits))
    splits = sorted(splits, key=lambda split: datasets.index(split[0]))
    grid = accuracy_grid(results, splits)
    with_published = [any(row[i].published is not None for row in grid) for i in range(len(splits))]
    headers, groups = ["Method"], [("", 1)]
    for (dataset, split), published in zip(splits, with_published, strict=True):
        names = [split, "published"] if published else [split]
        headers += names
        joined = groups[-1][1] if groups[-1][0] == dataset else 0
        groups[-1:] = [(dataset, joined + len(names))] if joined else [groups[-1], (dataset, len(names))]
    told = len({tuple(result.description()[2:4]) for result in results}) > 1
    rows = [
        [_description(result, told), *_numbers(cells, with_published), *map(str, result.totals(splits))]
        for result, cells in zip(results, grid, strict=True)
    ]
    table = Table(
        [*headers, "n", "set aside"], rows, words=1, groups=[*groups, ("", 2)] if splits else (), sticky=True
    )
    note = (
        "Percent of the scored expressions whose chosen box overlaps the target by more than half, with the "
        "95 % interval; ± is the standard deviation over the seeds where captions are drawn. Bold is the "
        "best of a column and source of boxes whose interval lies above all others; where none is bold, "
        f"none is clearly best. {ALL_CAPTIONS_NOTE}"
    )
    return Section("Accuracy", [table], note)


def _description(result: Result, models: bool) -> Value:
    """Return a method with its boxes, its drawings if its name hides them, and its models if they differ."""
    name, drawings, encoders, weights, proposals = result.description()
    shown = "" if name == drawings or name.startswith(f"{drawings},") else drawings
    words = (f"{proposals} boxes", shown, *((encoders, weights) if models else ()))
    return Value(name, " · ".join(filter(None, words)))


def _numbers(cells: Sequence[Cell], with_published: Sequence[bool]) -> list[str | Value]:
    row: list[str | Value] = []
    for cell, published in zip(cells, with_published, strict=True):
        row.append(Value(cell.mean, cell.detail, cell.best))
        if published:
            row.append(NOTHING if cell.published is None else f"{cell.published:.1f}")
    return row


def reproduction_section(results: Sequence[Result], splits: Splits) -> Section:
    """Return published numbers beside ours; without blocks if there are none."""
    headers, cells = reproduction_cells(results, splits)
    differs = headers.index("Differs in")
    rows: list[list[str | Value | Lines]] = [
        [*row[:differs], Lines(row[differs].split("; ")), *row[differs + 1 :]] for row in map(list, cells)
    ]
    return Section("Published numbers", [Table(headers, rows, words=len(HEADERS))] if rows else [], NOTE)


def figures_section(results: Sequence[Result], splits: Sequence[tuple[str, str]]) -> Section:
    """Return a figure of bars for every dataset."""
    by_dataset: dict[str, list[str]] = {}
    for dataset, split in splits:
        by_dataset.setdefault(dataset, []).append(split)
    pictures = [
        Picture(
            data_uri(accuracy_figure(results, dataset, names)),
            f"Accuracy of every method on {dataset} {', '.join(names)}; the numbers are in the table above.",
        )
        for dataset, names in by_dataset.items()
    ]
    note = (
        "The line on a bar is the 95 % bootstrap interval of its accuracy. Images are drawn whole, since "
        "expressions of one image are no independent draws."
    )
    if len(results) > MAX_BARS:
        note += f" The first {MAX_BARS} of {len(results)} lines of the table are drawn."
    return Section("Accuracy with intervals", pictures, note)


def strips_section(strips: Sequence[Strips]) -> Section:
    """Return what CLIP was shown."""
    note = (
        "One row a drawing, one column a region, the same regions in every row; squashed to a square as the "
        "encoder squashes its input. Below are the expressions that mean a region."
    )
    return Section("What CLIP was shown", strips, note)


def attention_section(strips: Sequence[Strips], without_weights: Sequence[str]) -> Section:
    """Return where the class token looks before and after foveal masks; without blocks if there are none.

    Args:
        strips: of every setting and image.
        without_weights: names of encoders whose weights are not on this machine.
    """
    note = (
        "Attention of the class token to every patch, the mean over heads and over the blocks that get the "
        "mask: from dark blue, none, to yellow, the most for this region before or after. Gained is "
        "what is more after than before, on a scale of its own. The white box is the region."
    )
    missing = "; ".join(
        f"{name}: weights not found on this machine, so nothing is drawn" for name in without_weights
    )
    facts = [Facts([("left out", missing)])] if missing else []
    return Section("Where the class token looks", [*strips, *facts], note)


def examples_section(galleries: Sequence[Gallery], each: int, omitted: int) -> Section:
    """Return right and wrong answers of every method."""
    note = (
        f"Up to {each} right and {each} wrong answers a method, drawn by lot from images with more than one "
        "candidate; the same pictures for every method where its answers allow it. Green is the target, "
        "orange the choice, grey the other candidates."
    )
    if omitted:
        note += f" {omitted} more lines of the table are left out to keep this file small."
    return Section("Examples", galleries, note)


def set_aside_section(
    found: Mapping[tuple[str, str], list[Pick]], texts: Mapping[tuple[str, str], str], limit: int
) -> Section:
    """Return what was set aside and why.

    Args:
        found: predictions set aside, of all methods, by (dataset, expression id).
        texts: the expressions of those that are listed.
        limit: how many expressions are listed.
    """
    if not found:
        return Section("Set aside", [Facts([("expressions", "none")])])
    causes = Counter(
        (pick.prediction["error"]["code"], pick.prediction["error"]["stage"])
        for picks in found.values()
        for pick in picks[:1]
    )
    summary = [[code, stage, str(count)] for (code, stage), count in sorted(causes.items())]
    rows = []
    for name in list(found)[:limit]:
        pick, text = found[name][0], texts.get(name, "")
        reason, where = pick.prediction["error"], f"{name[0]} {pick.prediction['split']}"
        words = [
            where,
            name[1],
            pick.image_key,
            shortened(text),
            reason["code"],
            shortened(reason["message"]),
        ]
        rows.append([*words, str(len(found[name]))])
    headers = ["Split", "Expression", "Image", "Text", "Reason", "Details", "times"]
    caption = f"{len(rows)} of {len(found)} expressions; times counts methods, sources of boxes and seeds."
    note = "Expressions that could not be scored: they count neither as right nor as wrong."
    blocks: list[Block] = [
        Table(["Reason", "Found by", "expressions"], summary, words=2),
        Table(headers, rows, words=6, caption=caption),
    ]
    return Section("Set aside", blocks, note)


def provenance_section(record: Mapping[str, Any], outcome: str) -> Section:
    """Return what the run recorded about itself.

    Args:
        record: content of `run.json`.
        outcome: the exit status in words.
    """
    git = record["git"]
    revision = (git["revision"] or "unknown") + (" with uncommitted changes" if git["dirty"] else "")
    counts = ", ".join(f"{count} {event}" for event, count in sorted(record["counts"].items()))
    machine = ", ".join(f"{name} {value}" for name, value in record["machine"].items())
    versions = [f"{name} {version}" for name, version in record["packages"].items() if version]
    facts = [
        ("started", record["started"]),
        ("finished", record["finished"]),
        ("outcome", outcome),
        ("computed in the run", counts or "nothing: every part existed"),
        ("command", " ".join(record["command"])),
        ("revision", revision),
        ("packages", ", ".join([f"Python {record['python']}", *versions])),
        ("machine", machine),
    ]
    weights = [
        [name, w["label"], w["tag"], w["sha256"], w["source"]] for name, w in record["weights"].items()
    ]
    ledger = [
        [folder, *(str(entry[key]) for key in ("planned", "ok", "quarantined"))]
        for folder, entry in record["ledger"].items()
    ]
    blocks: list[Block] = [Facts(facts)]
    if weights:
        blocks.append(Table(["Model", "Weights", "Tag", "SHA-256", "Source"], weights, words=5))
    blocks.append(Table(["Predictions", "planned", "ok", "set aside"], ledger, words=1))
    blocks.append(Listing("Options", json.dumps(record["options"], indent=1, ensure_ascii=False)))
    return Section("Provenance", blocks)
