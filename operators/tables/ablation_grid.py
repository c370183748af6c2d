"""Ablations: a grid over the parameters of drawings as methods, and its accuracies by pairs of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

from operators.foveal import ATTENTION
from operators.methods.method import POST_PROCESSING, baseline
from operators.methods.notation import WrittenLayer, parse
from operators.methods.variants import CANVAS_SETTINGS, MaskSource
from operators.prompts import find_prompt
from operators.rows.registry import nearest
from operators.tables.intervals import Interval, clearly_best

NO_POST = "none"


class Axis(NamedTuple):
    """A parameter and its values as they were written.

    Attributes:
        name: of the parameter, varied in every layer that has it (`alpha`) or in one (`FA.alpha`).
    """

    name: str
    values: tuple[str, ...]

    def varied_by(self, layer: WrittenLayer) -> bool:
        """Say whether a layer has the parameter and leaves it open."""
        owner, _, parameter = self.name.rpartition(".")
        return owner in ("", layer.name.text) and parameter in _open_parameters(layer)


@dataclass(frozen=True)
class Setting:
    """A point of the grid.

    Attributes:
        drawing: as it was asked for.
        post: post-processing, `none` or a key of `operators.methods.method.POST_PROCESSING`.
        values: the parameters that this drawing varies, in the order of the grid.
        method: in canonical notation without defaults, so that equal methods are equal texts.
    """

    drawing: str
    post: str
    values: tuple[tuple[str, str], ...]
    method: str


@dataclass(frozen=True)
class Grid:
    """What is to be scored; `skipped` pairs drawings with parameters that they do not vary."""

    settings: tuple[Setting, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


class Score(NamedTuple):
    """An accuracy in percent and its interval, if one is known."""

    percent: float
    interval: Interval | None = None


class Panel(NamedTuple):
    """Accuracies of one pair of parameters with everything else held fixed.

    Attributes:
        line: what is the same in a whole run: encoders, proposals, post-processing.
        fixed: the drawing's other parameters (`contour_scale=1.2`), empty if it varies no more than two.
        scores: by value of the first parameter, then of the second; None where nothing was scored.
    """

    line: str
    fixed: str
    scores: list[list[Score | None]]

    @property
    def best(self) -> tuple[int, int] | None:
        """Return row and column of the score that is clearly the best of the panel, if one is."""
        places = [(y, x) for y, row in enumerate(self.scores) for x in range(len(row))]
        scores = [self.scores[y][x] for y, x in places]
        intervals = [score.interval if score else None for score in scores]
        # One without an interval, as on a single image, may be better than it looks.
        if any(score and not score.interval for score in scores):
            return None
        return next((place for i, place in enumerate(places) if clearly_best(i, intervals)), None)


@dataclass(frozen=True)
class Pivot:
    """All panels of a pair of parameters of a drawing; `columns` has no name if it varies only one."""

    drawing: str
    rows: Axis
    columns: Axis
    panels: tuple[Panel, ...]


def read_axis(text: str) -> Axis:
    """Read `sigma_px=25,50,100`; values that hold commas are parted by `;` (`mask_color=0,128,255;255,0,0`).

    Raises:
        ValueError: if a name or a value is missing, or a value is given twice.
    """
    name, equals, listed = (part.strip() for part in text.partition("="))
    values = [value.strip() for value in listed.removesuffix(";").split(";" if ";" in listed else ",")]
    if not name or not equals or not all(values):
        raise ValueError(f"{text!r} is not written like sigma_px=25,50,100")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{text!r} has {twice[0]} twice")
    return Axis(name, tuple(values))


def expand(
    drawings: Sequence[str], axes: Sequence[Axis], posts: Sequence[str], mask_source: MaskSource = "box"
) -> Grid:
    """Cross drawings, the values of the parameters that each of them has, and post-processing.

    Args:
        drawings: in paper notation, without post-processing (`D4`, `I+FA`, `D4(sigma_px=50)+D1`, `P|D4`).
        axes: a parameter is varied in every layer that has it and does not set it itself.
        posts: `none` or keys of `operators.methods.method.POST_PROCESSING`.
        mask_source: of drawings with masks.

    Raises:
        ValueError: for a drawing or value that cannot be, a parameter that no drawing has, or one that is
            named twice.
    """
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"parameter {name!r} is given twice; list all its values in one place")
    settings, skipped = [], []
    for drawing in dict.fromkeys(drawings):
        written = parse(drawing)
        if written.post is not None:
            raise written.error(written.post, "post-processing is an option of its own (--post)")
        layers = [layer for drawn in written.drawings for layer in drawn]
        try:
            varied = [axis for axis in axes if any(axis.varied_by(layer) for layer in layers)]
        except ValueError as problem:
            raise ValueError(f"{drawing!r}: {problem}") from problem
        skipped += [(drawing, axis.name) for axis in axes if axis not in varied]
        for point in product(*(axis.values for axis in varied)):
            chosen = list(zip(varied, point, strict=True))
            text = "|".join("+".join(_layer_text(layer, chosen) for layer in d) for d in written.drawings)
            for post in posts:
                settings.append(_setting(drawing, post, chosen, text, mask_source))
    for axis in axes:
        if all((drawing, axis.name) in skipped for drawing in drawings):
            raise ValueError(_nothing_varies(axis, drawings))
    return Grid(tuple(settings), tuple(skipped))


def pivots(
    settings: Sequence[Setting], scores: Mapping[tuple[str, str], Score | None], lines: Iterable[str]
) -> list[Pivot]:
    """Lay accuracies out by every pair of parameters that a drawing varies, one panel for the rest.

    Nothing is averaged or picked over the other parameters: each combination of them is a panel.

    Args:
        settings: of the grid.
        scores: by (method, line).
        lines: encoders and proposals, as they head a panel.
    """
    lines, made = list(lines), []
    for drawing in dict.fromkeys(setting.drawing for setting in settings):
        group = [setting for setting in settings if setting.drawing == drawing]
        axes = [
            Axis(name, tuple(dict.fromkeys(dict(setting.values)[name] for setting in group)))
            for name, _ in group[0].values
        ]
        for rows, columns in _pairs(axes):
            panels = tuple(_panels(group, axes, (rows, columns), scores, lines))
            made.append(Pivot(drawing, rows, columns, panels))
    return made


def _pairs(axes: Sequence[Axis]) -> list[tuple[Axis, Axis]]:
    return [(axis, Axis("", ("",))) for axis in axes] if len(axes) == 1 else list(combinations(axes, 2))


def _panels(
    group: Sequence[Setting],
    axes: Sequence[Axis],
    pair: tuple[Axis, Axis],
    scores: Mapping[tuple[str, str], Score | None],
    lines: Sequence[str],
) -> Iterator[Panel]:
    methods = {(setting.post, frozenset(setting.values)): setting.method for setting in group}
    rows, columns = pair
    others = [axis for axis in axes if axis not in pair]
    for line, post in product(lines, dict.fromkeys(setting.post for setting in group)):
        for held in product(*(axis.values for axis in others)):
            fixed = [(axis.name, value) for axis, value in zip(others, held, strict=True)]
            cells = []
            for row in rows.values:
                points = [[(rows.name, row), (columns.name, column), *fixed] for column in columns.values]
                # A grid of one parameter has a second without a name, which is no part of its points.
                keys = [frozenset((name, value) for name, value in point if name) for point in points]
                cells.append([scores.get((methods[post, key], line)) for key in keys])
            title = line if post == NO_POST else f"{line} · {post}"
            yield Panel(title, ", ".join(f"{name}={value}" for name, value in fixed), cells)


def _setting(
    drawing: str, post: str, chosen: Sequence[tuple[Axis, str]], text: str, mask_source: MaskSource
) -> Setting:
    if post != NO_POST and post not in POST_PROCESSING:
        raise ValueError(f"unknown post-processing {post!r}; known: {', '.join([NO_POST, *POST_PROCESSING])}")
    method = baseline(text if post == NO_POST else f"{text},{post}", mask_source)
    return Setting(drawing, post, tuple((axis.name, value) for axis, value in chosen), method.notation)


def _layer_text(layer: WrittenLayer, chosen: Sequence[tuple[Axis, str]]) -> str:
    given = [(name.text, value.text) for name, value in layer.arguments]
    given += [(axis.name.rpartition(".")[2], value) for axis, value in chosen if axis.varied_by(layer)]
    arguments = ",".join(f"{name}={value}" for name, value in given)
    return layer.name.text + (f"({arguments})" if arguments else "")


def _open_parameters(layer: WrittenLayer) -> list[str]:
    """Return the parameters that a layer has and does not set.

    Raises:
        ValueError: for an unknown drawing.
    """
    name = layer.name.text
    if name in ATTENTION:
        known = [field for field in ATTENTION[name].model_fields if field != "kind"]
    else:
        prompt = find_prompt(name)
        known = [*prompt.parameters, *(CANVAS_SETTINGS if prompt.space == "canvas" else ())]
    return [parameter for parameter in known if parameter not in {word.text for word, _ in layer.arguments}]


def _nothing_varies(axis: Axis, drawings: Sequence[str]) -> str:
    layers = [layer for text in drawings for drawn in parse(text).drawings for layer in drawn]
    known = dict.fromkeys(parameter for layer in layers for parameter in _open_parameters(layer))
    near = nearest(axis.name.rpartition(".")[2], known)
    listed = ", ".join(drawings)
    return f"parameter {axis.name!r}: no drawing of {listed} has it, or leaves it open; nearest: {near}"
