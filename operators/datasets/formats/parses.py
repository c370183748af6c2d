"""Parses of expressions: read from a parse file, or made with spaCy.

A parse file is JSON lines or Parquet with one record an expression of a dataset:

    {"dataset": "refcoco", "text": "man on the left", "parse": {"parser": "en_core_web_sm-3.0.0",
     "tokens": ["man", "on", "the", "left"], "heads": [0, 0, 3, 1], "deps": ["ROOT", "prep", "det", "pobj"],
     "noun_chunks": [{"start": 0, "end": 1}, {"start": 2, "end": 4}]}}

`text` is the lower-cased expression; without `dataset` the record holds for every dataset. `heads` are token
positions, a root is its own head; `end` is exclusive. In Parquet `parse` is a struct of those fields.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from operators.datasets.formats.annotations import (
    AnnotationError,
    Text,
    decode_text,
    first_problem,
    parse_json,
)
from operators.relations.sentence import ParseError
from operators.relations.sentence import Sentence as ParsedSentence

Parse = dict[str, Any]
# (dataset, lower-cased text) -> parse; the dataset is empty for a record that holds for all
Parses = Mapping[tuple[str, str], Parse]

TEXTS_PER_BATCH = 1000


class MissingParser(ValueError):
    """spaCy or the pipeline that was asked for is not installed; the message says how to get it."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Chunk(_Record):
    start: int
    end: int


class _Parse(_Record):
    parser: Text
    tokens: list[Text]
    heads: list[int]
    deps: list[Text]
    noun_chunks: list[_Chunk]


class _Line(_Record):
    dataset: Text | None = None
    text: Text
    parse: _Parse


def find_parse(parses: Parses, dataset: str, text: str) -> Parse | None:
    """Return the parse of an expression: the dataset's own, else one for all datasets, else None."""
    return parses.get((dataset, text.lower()), parses.get(("", text.lower())))


def read_parses(data: bytes, name: str) -> dict[tuple[str, str], Parse]:
    """Read a parse file; Parquet is recognised by its content.

    Args:
        data: the file's bytes.
        name: the file's name, for messages.

    Raises:
        AnnotationError: naming file and line or row, for a record that is malformed, is no dependency tree,
            or says something else about a text than an earlier one.
    """
    records = _parquet_rows(data, name) if data[:4] == b"PAR1" else _json_lines(data, name)
    parses: dict[tuple[str, str], Parse] = {}
    for place, content in records:
        try:
            record = _Line.model_validate(content)
            parse = record.parse.model_dump()
            _check(parse, record.text)
        except ValidationError as problem:
            raise AnnotationError(f"{place}: {first_problem(problem)}") from problem
        except ParseError as problem:
            raise AnnotationError(f"{place}: {problem}") from problem
        if parses.setdefault((record.dataset or "", record.text), parse) != parse:
            raise AnnotationError(f"{place}: another parse of {record.text[:80]!r} than before; keep one")
    return parses


def parse_with_spacy(
    texts: Iterable[tuple[str, str]], pipeline: str, load: Callable[[str], Any] | None = None
) -> dict[tuple[str, str], Parse]:
    """Parse expressions with an installed spaCy pipeline.

    Args:
        texts: (dataset, expression) pairs; expressions are lower-cased, each distinct one parsed once.
        pipeline: name of an installed pipeline (`en_core_web_sm`; the published runs used version 3.0.0).
        load: turns the name into a pipeline; spaCy's by default.

    Returns:
        Parses for all datasets. Expressions of more tokens than the relation engine reads have none.

    Raises:
        MissingParser: if spaCy or the pipeline is not installed.
    """
    nlp = (load or _load_spacy)(pipeline)
    parser = f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"
    distinct = list(dict.fromkeys(text.lower() for _, text in texts))
    parses: dict[tuple[str, str], Parse] = {}
    for text, document in zip(distinct, nlp.pipe(distinct, batch_size=TEXTS_PER_BATCH), strict=True):
        if not document.has_annotation("DEP"):
            raise MissingParser(f"the spaCy pipeline {pipeline} has no dependency parser")
        parse = {
            "parser": parser,
            "tokens": [token.text for token in document],
            "heads": [token.head.i for token in document],
            "deps": [token.dep_ for token in document],
            "noun_chunks": [{"start": chunk.start, "end": chunk.end} for chunk in document.noun_chunks],
        }
        try:
            _check(parse, text)
        except ParseError:  # too long
            continue
        parses["", text] = parse
    return parses


def _load_spacy(pipeline: str) -> Any:
    try:
        spacy: Any = import_module("spacy")
    except ImportError as problem:
        raise MissingParser(
            "--parser needs spaCy: pip install -e '.[relations]' (in the checkout) && "
            f"python -m spacy download {pipeline}; or give a parse file with --parses"
        ) from problem
    try:
        return spacy.load(pipeline)
    except OSError as problem:
        raise MissingParser(
            f"the spaCy pipeline {pipeline} is not installed: python -m spacy download {pipeline}; "
            "or give a parse file with --parses"
        ) from problem


def _check(parse: Parse, text: str) -> None:
    if text != text.lower():
        raise ParseError(f"the text {text[:80]!r} is not lower-cased")
    if len(parse["deps"]) != len(parse["tokens"]):
        raise ParseError(f"{len(parse['tokens'])} tokens but {len(parse['deps'])} deps")
    ParsedSentence(parse, text)


def _json_lines(data: bytes, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(decode_text(data, name).split("\n"), start=1):
        if line.strip():
            place = f"{name}:{number}"
            yield place, parse_json(line, place)


def _parquet_rows(data: bytes, name: str) -> Iterator[tuple[str, Any]]:
    try:
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
    except (pa.ArrowException, OSError) as problem:
        raise AnnotationError(f"{name}: not a readable Parquet file ({problem})") from problem
    for number, row in enumerate(rows):
        yield f"{name}[{number}]", row
