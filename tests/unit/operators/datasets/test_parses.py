"""Parse files and spaCy pipelines."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.datasets.formats.annotations import AnnotationError
from operators.datasets.formats.parses import MissingParser, find_parse, parse_with_spacy, read_parses
from operators.rows.records import PARSE

PARSE_OF_MAN = {
    "parser": "by hand",
    "tokens": ["left", "man"],
    "heads": [1, 1],
    "deps": ["amod", "ROOT"],
    "noun_chunks": [{"start": 0, "end": 2}],
}
GOOD = {"dataset": "refcoco", "text": "left man", "parse": PARSE_OF_MAN}


def lines(*records: dict) -> bytes:
    return "\n".join(json.dumps(record) for record in records).encode()


def parquet(*records: dict) -> bytes:
    schema = pa.schema([("dataset", pa.string()), ("text", pa.string()), ("parse", PARSE)])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("write", [lines, parquet])
def test_both_formats_are_read(write) -> None:
    common = {"text": "man", "parse": PARSE_OF_MAN}
    found = read_parses(write(GOOD, common, GOOD), "p")
    assert found == {("refcoco", "left man"): PARSE_OF_MAN, ("", "man"): PARSE_OF_MAN}


def test_the_datasets_own_parse_comes_first() -> None:
    other = PARSE_OF_MAN | {"parser": "other"}
    parses = read_parses(lines(GOOD, {"text": "left man", "parse": other}), "p")
    assert find_parse(parses, "refcoco", "Left MAN") == PARSE_OF_MAN
    assert find_parse(parses, "refcoco+", "left man") == other
    assert find_parse(parses, "refcoco", "right man") is None


def changed(**fields: object) -> dict:
    return GOOD | {"parse": PARSE_OF_MAN | fields}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lines(GOOD) + b"\n{", r"p\.jsonl:2: not valid JSON"),
        (lines(GOOD, {"text": "x"}), r"p\.jsonl:2: parse: Field required"),
        (lines(GOOD, GOOD | {"words": 1}), r"p\.jsonl:2: words: Extra inputs"),
        (lines(changed(heads=[1, "1"])), r"p\.jsonl:1: parse\.heads\.1"),
        (lines(changed(heads=[1])), r"p\.jsonl:1: 2 tokens but 1 heads"),
        (lines(changed(heads=[1, 0])), r"p\.jsonl:1: the heads of token 0 run in a circle"),
        (lines(changed(heads=[1, 2])), r"p\.jsonl:1: the head of token 1 is 2"),
        (lines(changed(deps=[])), r"p\.jsonl:1: 2 tokens but 0 deps"),
        (lines(changed(noun_chunks=[{"start": 0, "end": 9}])), r"p\.jsonl:1: noun chunk 0\.\.9"),
        (lines(GOOD | {"text": "Left man"}), r"p\.jsonl:1: the text 'Left man' is not lower-cased"),
        (lines(GOOD, changed(parser="b")), r"p\.jsonl:2: another parse of 'left man' than before"),
        (b"\xff\xfe", r"p\.jsonl: byte 0 is not UTF-8"),
        (parquet(GOOD, changed(heads=[1])), r"p\.jsonl\[1\]: 2 tokens but 1 heads"),
        (parquet(GOOD)[:-9], r"p\.jsonl: not a readable Parquet file"),
    ],
)
def test_malformed_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_parses(data, "p.jsonl")


@dataclass
class Document:
    """What is used of a spaCy document: a flat tree on the last word, one chunk."""

    words: list[str]
    parsed: bool = True

    def has_annotation(self, name: str) -> bool:
        return name == "DEP" and self.parsed

    def __iter__(self):
        head = SimpleNamespace(i=len(self.words) - 1)
        return iter([SimpleNamespace(text=w, head=head, dep_="dep") for w in self.words])

    @property
    def noun_chunks(self):
        return iter([SimpleNamespace(start=0, end=len(self.words))])


class Pipeline:
    meta = {"lang": "en", "name": "fake", "version": "1.2"}  # noqa: RUF012

    def __init__(self, parsed: bool = True) -> None:
        self.seen: list[str] = []
        self.parsed = parsed

    def pipe(self, texts: list[str], batch_size: int):
        for text in texts:
            self.seen.append(text)
            yield Document(text.split(), self.parsed)


def test_each_distinct_lower_cased_text_is_parsed_once() -> None:
    pipeline = Pipeline()
    texts = [("refcoco", "Left man"), ("refcoco+", "left man"), ("refcoco", "dog"), ("refcoco", "a " * 300)]
    parses = parse_with_spacy(texts, "en_fake", lambda _: pipeline)
    assert pipeline.seen == ["left man", "dog", "a " * 300]
    assert set(parses) == {("", "left man"), ("", "dog")}  # the last has too many words
    assert parses["", "left man"] == PARSE_OF_MAN | {"parser": "en_fake-1.2", "deps": ["dep", "dep"]}


def test_a_pipeline_without_parser_is_refused() -> None:
    with pytest.raises(MissingParser, match="the spaCy pipeline en_fake has no dependency parser"):
        parse_with_spacy([("refcoco", "dog")], "en_fake", lambda _: Pipeline(parsed=False))


def test_without_spacy_or_pipeline_the_command_is_named() -> None:
    with pytest.raises(MissingParser, match="python -m spacy download en_no_such_pipeline"):
        parse_with_spacy([("refcoco", "dog")], "en_no_such_pipeline")


def test_a_real_spacy_document() -> None:
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed (extra `relations`)")
    from spacy.language import Language

    @Language.component("by_hand")
    def by_hand(document):
        document[0].head, document[1].head = document[1], document[1]
        document[0].dep_, document[1].dep_ = "amod", "ROOT"
        for token, tag in zip(document, ("ADJ", "NOUN"), strict=True):
            token.pos_ = tag
        return document

    nlp = spacy.blank("en")
    nlp.add_pipe("by_hand")
    (parse,) = parse_with_spacy([("refcoco", "Left Man")], "en", lambda _: nlp).values()
    assert parse | {"parser": "by hand"} == PARSE_OF_MAN
