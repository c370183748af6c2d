from __future__ import annotations

import open_clip
import pytest
import torch

from operators.encode.word_tokenizer import UnknownWord, WordTokenizer

WORDS = ("a", "photo", "of", "red", "circle", "leftmost")


@pytest.fixture
def tokenizer():
    return WordTokenizer(WORDS, context_length=8)


def test_numbers_stand_for_clips_own_tokens(tokenizer):
    texts = ["a red circle", "photo of a leftmost circle"]
    clip = open_clip.SimpleTokenizer(context_length=8)
    ours, theirs = tokenizer(texts), clip(texts)
    pairs = {(int(a), int(b)) for a, b in zip(ours.flatten(), theirs.flatten(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})  # one to one
    assert (ours.argmax(1) == theirs.argmax(1)).all()  # the end mark is the largest, where CLIP pools
    assert int(ours.max()) == tokenizer.vocab_size - 1
    assert ((ours == 0) == (theirs == 0)).all()


def test_case_and_spaces_do_not_matter(tokenizer):
    assert torch.equal(tokenizer("A  RED circle"), tokenizer(["a red circle"]))


def test_unknown_words_are_named(tokenizer):
    with pytest.raises(UnknownWord, match=r"'a red dog on mars' .* know: dog, on, mars; it knows a, photo"):
        tokenizer(["a red circle", "a red dog on mars"])
    assert tokenizer.unknown_words(["red", "a red dog"]) == {"a red dog": ["dog"]}


def test_long_texts_lose_their_end(tokenizer):
    assert tokenizer("red " * 20).shape == (1, 8)
    assert int(tokenizer("red " * 20)[0, -1]) == tokenizer.vocab_size - 1
