"""Two sources that must meet: how many items of one found their counterpart in the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from operators.datasets.formats.annotations import AnnotationError
from operators.rows.fingerprint import Value

EXAMPLE_CHARS = 80


class Join(Value):
    """How two sources met.

    Attributes:
        what: the source that was looked into (`detections/refcoco`).
        of: what was looked for, in the plural (`images`).
        asked: how many of them there are.
        matched: how many found something.
        unused: items of the source that nothing asked for.
        example: one that found nothing; empty if all did.
    """

    what: str
    of: str
    asked: int
    matched: int
    unused: int = 0
    example: str = ""

    def line(self) -> str:
        """Return the counts as a line for people."""
        said = f"{self.what}: {self.matched} of {self.asked} {self.of} matched"
        said += f", such as {self.example} not" if self.example else ""
        return said + (f"; {self.unused} entries belong to none of them" if self.unused else "")


def join(what: str, of: str, asked: Iterable[str], source: Collection[str], place: str) -> Join:
    """Match keys with those of a source.

    Args:
        what: the source, as `Join.what`.
        of: what is looked for, as `Join.of`.
        asked: keys that are looked for; each is counted once.
        source: keys of the source.
        place: file of the source, for messages.

    Raises:
        AnnotationError: if nothing matches, with a key of either side.
    """
    wanted = list(dict.fromkeys(asked))
    lacking = [key for key in wanted if key not in source]
    if wanted and len(lacking) == len(wanted):
        raise AnnotationError(
            f"{place}: none of its {len(source)} entries belongs to any of the {len(wanted)} {of}"
            + (f": it has keys like {_shown(next(iter(source)))}" if source else "")
            + f", they are called like {_shown(wanted[0])}; {what} would be empty for all"
        )
    matched = len(wanted) - len(lacking)
    return Join(
        what=what,
        of=of,
        asked=len(wanted),
        matched=matched,
        unused=max(0, len(source) - matched),
        example=_shown(lacking[0]) if lacking else "",
    )


def _shown(key: str) -> str:
    return repr(key if len(key) <= EXAMPLE_CHARS else key[:EXAMPLE_CHARS] + "...")
