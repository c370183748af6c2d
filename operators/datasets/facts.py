"""What image rows hold, counted while they are built: boxes, masks, references, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from operators.datasets.formats.annotations import AnnotationError
from operators.datasets.joins import Join
from operators.rows.fingerprint import Value

Row = Mapping[str, Any]
# A box may spill over the border by so much and count as inside.
SLACK_PX = 1.0
MAJORITY = 0.5
EXAMPLE_CHARS = 160


class SetFacts(Value):
    """A proposal set.

    Attributes:
        images: that have the set.
        boxes: in it.
        leaving: boxes that leave the picture by more than a pixel.
        as_corners: boxes that would lie inside if they were left, top, right, bottom.
        as_fractions: boxes whose numbers all lie between 0 and 1.
        outlines: boxes to which the annotation gives an outline.
        masks: boxes that have a mask made of it.
    """

    images: int = 0
    boxes: int = 0
    leaving: int = 0
    as_corners: int = 0
    as_fractions: int = 0
    outlines: int = 0
    masks: int = 0


class SplitFacts(Value):
    """A split: images, references, expressions, and of these the parsed ones and those set aside."""

    images: int = 0
    refs: int = 0
    expressions: int = 0
    parsed: int = 0
    set_aside: int = 0


class Reason(Value):
    """Why something was set aside.

    Attributes:
        of: `images` or `expressions`.
        code: stable, such as `image.missing`.
        count: how many.
        example: one of them, with the message.
    """

    of: str
    code: str
    count: int
    example: str

    def line(self) -> str:
        """Return the reason as a line for people."""
        return f"set aside: {self.count} {self.of}, {self.code}, such as {self.example}"


class Facts(Value):
    """Facts of some rows. `turned` counts pictures whose EXIF data turns them by a quarter."""

    sets: dict[str, SetFacts] = Field(default_factory=dict)
    splits: dict[str, SplitFacts] = Field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    turned: int = 0


def facts_of(rows: Sequence[Row], outlined: Sequence[Row], turned: int = 0) -> Facts:
    """Count completed image rows.

    Args:
        rows: of `IMAGE_ROW`.
        outlined: the same rows with the annotated outlines in place of masks.
        turned: pictures among them whose EXIF data turns them.
    """
    found = [_of_row(row, before) for row, before in zip(rows, outlined, strict=True)]
    return merged([*found, Facts(turned=turned)])


def merged(parts: Iterable[Facts]) -> Facts:
    """Add facts up; of equal reasons the first example stays."""
    sets: dict[str, SetFacts] = {}
    splits: dict[str, SplitFacts] = {}
    reasons: dict[tuple[str, str], Reason] = {}
    turned = 0
    for part in parts:
        for name, counts in part.sets.items():
            sets[name] = _sum(sets.get(name, SetFacts()), counts)
        for name, split in part.splits.items():
            splits[name] = _sum(splits.get(name, SplitFacts()), split)
        for reason in part.reasons:
            known = reasons.setdefault((reason.of, reason.code), reason.model_copy(update={"count": 0}))
            total = known.count + reason.count
            reasons[reason.of, reason.code] = known.model_copy(update={"count": total})
        turned += part.turned
    ordered = sorted(reasons.values(), key=lambda r: (r.of != "images", -r.count, r.code))
    return Facts(sets=sets, splits=splits, reasons=tuple(ordered), turned=turned)


def require_boxes_inside(facts: Facts) -> None:
    """Refuse proposal sets whose boxes can hardly be what they are taken for.

    Raises:
        AnnotationError: naming the set, the counts and the likely format, if more than half of the boxes
            leave their picture, or lie within its first pixel.
    """
    for name, counts in facts.sets.items():
        told = f"proposal set {name}: "
        if counts.as_fractions > MAJORITY * counts.boxes:
            raise AnnotationError(
                f"{told}{counts.as_fractions} of {counts.boxes} boxes have no number above 1: fractions of "
                "the picture? Expected left, top, width, height in pixels"
            )
        if counts.leaving > MAJORITY * counts.boxes:
            likely = "they are for pictures of another size?"
            if counts.as_corners > counts.boxes - counts.leaving:
                likely = f"read as left, top, right, bottom {counts.as_corners} of them lie inside;"
            raise AnnotationError(
                f"{told}{counts.leaving} of {counts.boxes} boxes leave their picture; {likely} "
                "expected left, top, width, height in pixels"
            )


def outline_joins(facts: Facts) -> list[Join]:
    """Say of how many annotated outlines masks were made, by proposal set."""
    return [
        Join(what=f"masks of {name}", of="annotated outlines", asked=counts.outlines, matched=counts.masks)
        for name, counts in facts.sets.items()
        if counts.outlines
    ]


def _of_row(row: Row, outlined: Row) -> Facts:
    splits: dict[str, SplitFacts] = {}
    reasons: list[Reason] = []
    if row["error"]:
        reasons.append(_reason("images", row["error"], row["image_key"]))
    for ref in row["refs"]:
        name = f"{ref['dataset']}/{ref['split']}"
        aside = [e for e in ref["expressions"] if e["error"]]
        splits[name] = _sum(
            splits.get(name, SplitFacts(images=1)),
            SplitFacts(
                refs=1,
                expressions=len(ref["expressions"]),
                parsed=sum(e["parse"] is not None for e in ref["expressions"]),
                set_aside=len(aside),
            ),
        )
        for e in aside:
            reasons.append(_reason("expressions", e["error"], f"{name} {e['expression_id']}"))
    sets = {s["name"]: _of_set(row, outlined, s["region_ids"]) for s in row["proposal_sets"]}
    return merged([Facts(sets=sets, splits=splits), *(Facts(reasons=(reason,)) for reason in reasons)])


def _of_set(row: Row, outlined: Row, region_ids: Sequence[int]) -> SetFacts:
    width, height = row["width"], row["height"]
    counts = dict.fromkeys(("leaving", "as_corners", "as_fractions", "outlines", "masks"), 0)
    before = outlined["regions"]
    for i in region_ids:
        region = row["regions"][i]
        x, y, w, h = region["box_xywh"]
        counts["outlines"] += i < len(before) and bool(before[i]["exact_mask"])
        counts["masks"] += region["exact_mask"] is not None
        if row["status"] != "ok":
            continue
        counts["leaving"] += not _inside(x, y, x + w, y + h, width, height)
        counts["as_corners"] += w > x and h > y and _inside(x, y, w, h, width, height)
        counts["as_fractions"] += all(0 <= value <= 1 for value in (x, y, w, h))
    return SetFacts(images=1, boxes=len(region_ids) if row["status"] == "ok" else 0, **counts)


def _inside(left: float, top: float, right: float, bottom: float, width: int, height: int) -> bool:
    return min(left, top) >= -SLACK_PX and right <= width + SLACK_PX and bottom <= height + SLACK_PX


def _reason(of: str, error: Mapping[str, str], where: str) -> Reason:
    return Reason(of=of, code=error["code"], count=1, example=f"{where}: {error['message']}"[:EXAMPLE_CHARS])


def _sum(first: Any, second: Any) -> Any:
    return type(first)(**{name: value + getattr(second, name) for name, value in first})
