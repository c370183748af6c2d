"""How methods are written: `D4(sigma_px=50)+D1(line_color=blue)|P,S`.

    method   = drawing { "|" drawing } [ "," post ]    an ensemble: one picture a drawing, scores are combined
    drawing  = layer { "+" layer }                     layers are drawn on one picture, from left to right
    layer    = name [ "(" argument { "," argument } ")" ]
    argument = name "=" value                          a value may hold commas itself: mask_color=0,128,255

Names are paper codes or registered names. This module knows the grammar only; `operators.methods.catalog`
knows what the names mean. Source of `|` and of the codes: visual_prompts spec section 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"[^\s|+,()=]+")
# A piece after a comma belongs to the value unless it is the name of the next argument.
_VALUE = re.compile(r"[^()=,]*(?:,[^()=,]+(?=[,)]))*")


class NotationError(ValueError):
    """A method that cannot be read.

    Attributes:
        column: where in the text, counted from 1.
    """

    def __init__(self, text: str, column: int, message: str, drawing: int | None = None) -> None:
        place = f"column {column}" + (f", drawing {drawing}" if drawing else "")
        super().__init__(f"method {text!r}, {place}: {message}")
        self.column = column


@dataclass(frozen=True)
class Word:
    """A piece of a written method and the column where it begins."""

    text: str
    column: int


@dataclass(frozen=True)
class WrittenLayer:
    """A drawing's name with its arguments as they were written."""

    name: Word
    arguments: tuple[tuple[Word, Word], ...] = ()


@dataclass(frozen=True)
class WrittenMethod:
    """An ensemble of drawings, each of one or more layers, and the post-processing if there is any."""

    text: str
    drawings: tuple[tuple[WrittenLayer, ...], ...]
    post: Word | None = None

    def error(self, word: Word, message: str) -> NotationError:
        """Return an error about a word of this method."""
        drawing = None if word is self.post else 1 + self.text.count("|", 0, word.column)
        return NotationError(self.text, word.column, message, drawing)


def parse(text: str) -> WrittenMethod:
    """Read a method.

    Raises:
        NotationError: naming the column and what was expected there.
    """
    return _Reader(text).method()


def written(value: object) -> str:
    """Return a parameter's value as methods have it, with every digit of a number."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def method(self) -> WrittenMethod:
        drawings = [self.drawing()]
        while self.take("|"):
            drawings.append(self.drawing())
        post = self.word("post-processing") if self.take(",") else None
        if self.at < len(self.text):
            raise self.error("the end" if post else "'|', '+', '(', ',' or the end")
        return WrittenMethod(self.text, tuple(drawings), post)

    def drawing(self) -> tuple[WrittenLayer, ...]:
        layers = [self.layer()]
        while self.take("+"):
            layers.append(self.layer())
        return tuple(layers)

    def layer(self) -> WrittenLayer:
        name, arguments = self.word("a drawing"), []
        if self.take("("):
            arguments.append(self.argument())
            while not self.take(")"):
                if not self.take(","):
                    raise self.error("',' or ')'")
                arguments.append(self.argument())
        return WrittenLayer(name, tuple(arguments))

    def argument(self) -> tuple[Word, Word]:
        name = self.word("a parameter")
        if not self.take("="):
            raise self.error("'='")
        return name, self.word("a value", _VALUE)

    def take(self, mark: str) -> bool:
        """Pass a mark and the blanks around it, if it comes next."""
        self.skip_blanks()
        found = self.text.startswith(mark, self.at)
        self.at += found
        self.skip_blanks()
        return found

    def word(self, expected: str, pattern: re.Pattern[str] = _WORD) -> Word:
        self.skip_blanks()
        match = pattern.match(self.text, self.at)
        word = Word(match.group().strip() if match else "", self.at + 1)
        if not match or not word.text:
            raise self.error(expected)
        self.at = match.end()
        self.skip_blanks()
        return word

    def skip_blanks(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def error(self, expected: str) -> NotationError:
        found = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
        return NotationError(self.text, self.at + 1, f"expected {expected}, found {found}")
