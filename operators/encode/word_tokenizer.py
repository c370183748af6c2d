"""A tokenizer for models that know a few words: CLIP's own tokens, numbered anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import open_clip
import torch
from torch import Tensor


class UnknownWord(ValueError):
    """A text has words that the model has never seen."""


class WordTokenizer:
    """Turns texts into tokens of a vocabulary cut down to some words; called like open_clip's tokenizers.

    Padding is 0 as in CLIP; the pieces of the words follow in their order, then the start and the end mark,
    whose number is the largest.

    Args:
        words: known words.
        context_length: tokens of a text, start and end marks included; longer texts lose their end.

    Attributes:
        vocab_size: how many numbers there are.
    """

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        self.context_length = context_length
        self._clip = open_clip.SimpleTokenizer(context_length=context_length)
        pieces = dict.fromkeys(piece for word in words for piece in self._clip.encode(word))
        marks = [self._clip.sot_token_id, self._clip.eot_token_id]
        self._words = tuple(words)
        self._numbers = {0: 0} | {token: number for number, token in enumerate([*pieces, *marks], start=1)}
        self.vocab_size = len(self._numbers)

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Return int64 tokens (N, context_length).

        Raises:
            UnknownWord: naming a text, its unknown words, and what is known.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        unknown = self.unknown_words(texts)
        if unknown:
            text, words = next(iter(unknown.items()))
            raise UnknownWord(
                f"{text!r} has words that this model does not know: {', '.join(words)}; "
                f"it knows {', '.join(self._words)}"
            )
        tokens = self._clip(texts, context_length=context_length or self.context_length)
        return torch.tensor([[self._numbers[token] for token in row] for row in tokens.tolist()])

    def unknown_words(self, texts: Iterable[str]) -> dict[str, list[str]]:
        """Return the pieces of each text that have no number, for texts that have any."""
        found = {}
        for text in texts:
            pieces = [token for token in self._clip.encode(text) if token not in self._numbers]
            if pieces:
                found[text] = [self._clip.decode([token]).strip() for token in pieces]
        return found
