"""Tokens that open_clip, ftfy and regex decide, held to what the pinned and the oldest versions give."""

from __future__ import annotations

import hashlib

import pytest
import torch

from operators.encode.encoders.open_clip import make_tokenizer

# Plain, mistyped, mis-decoded, with marks of other scripts, markup, emoji, joined and split words.
TEXTS = (
    "the woman in the orange suit",
    "guy  w/ BLUE shirt,2nd from left!!",
    "person's bag (not the kid's)",
    "caf\u00e9 sign",
    "caf\u0065\u0301 sign",
    "caf\u00c3\u00a9 sign",
    "\u201cleft\u201d one \u2014 the \ufb01rst",
    "R&amp;B poster &lt;b&gt;",
    "right\u00a0most\u200bcup",
    "\uff23\uff35\uff30 on table",
    "\u732b on the mat",
    "\u0441\u043e\u0431\u0430\u043a\u0430 \u0441\u043b\u0435\u0432\u0430",
    "dog \U0001f436\U0001f3fd \u2764\ufe0f",
    "3.5ft 10:30 #42 50% $5",
    "man_in_red_shirt",
    "can't won't he'll i'd",
    "",
    "word " * 90,
)
DIGEST = "453c626fd2ab2c29baa809f33e4769eec36067acbfb6b6a93048705ae6965127"


@pytest.mark.parametrize("architecture", ["ViT-B-32", "ViT-L-14-336", "RN50x16"])
def test_tokens_are_the_same_numbers(architecture: str) -> None:
    tokens = make_tokenizer(architecture)([f"a photo of {text.lower()}" for text in TEXTS])
    assert tokens.shape == (len(TEXTS), 77) and tokens.dtype == torch.int64
    assert hashlib.sha256(tokens.numpy().astype("<i4").tobytes()).hexdigest() == DIGEST
