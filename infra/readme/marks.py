"""Parts of README.md that commands write, between two marks."""

from __future__ import annotations

from infra.errors import InputError


class Marks:
    """A part of a README between two comments, which stay.

    Args:
        begin: line before the part.
        end: line after it.
    """

    def __init__(self, begin: str, end: str) -> None:
        self.begin, self.end = begin, end

    def inside(self, readme: str) -> str:
        """Return the part, with one line break at its end. Raises InputError if a mark is not there."""
        return self._cut(readme)[1].strip("\n") + "\n"

    def replaced(self, readme: str, part: str) -> str:
        """Return the README with another part. Raises InputError if a mark is not there."""
        before, _, after = self._cut(readme)
        return f"{before}\n{part.rstrip()}\n{after}"

    def _cut(self, readme: str) -> tuple[str, str, str]:
        before, begin, rest = readme.partition(self.begin)
        part, end, after = rest.partition(self.end)
        if not begin or not end:
            raise InputError(f"README.md has no lines {self.begin!r} and {self.end!r}")
        return before + begin, part, end + after
