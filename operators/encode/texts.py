"""CLIP text tower: banks and phrases become feature tables, each distinct string encoded once per encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from operators.encode.encoder import OpenWeights, load_encoder
from operators.methods.method import prompted
from operators.methods.models import Encoder
from operators.methods.products import Report, no_report
from operators.relations import ParseError, Relations, texts_needed
from operators.rows.records import LOGIT_SCALE, text_features_schema

# Between two reports of progress.
AT_A_TIME = 1024


class EncodeTexts:
    """Operator: prompted strings to text features under one encoder.

    Texts that the tokenizer cuts are reported as `texts truncated`.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        open_weights: OpenWeights,
        device: str = "cpu",
        report: Report = no_report,
    ) -> None:
        self._model = load_encoder(encoder, open_weights(encoder.weights), device)
        self._report = report

    def encode(self, strings: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the feature (D,) float32, unnormalised, of every distinct string."""
        distinct = sorted(dict.fromkeys(strings), key=len)
        features: dict[str, np.ndarray] = {}
        for start in range(0, len(distinct), AT_A_TIME):
            batch = distinct[start : start + AT_A_TIME]
            features.update(zip(batch, self._model.encode_texts(batch).numpy(), strict=True))
            self._report("texts encoded", len(batch))
            truncated = self._model.count_truncated(batch)
            if truncated:
                self._report("texts truncated", truncated)
        return features

    def part(self, strings: Sequence[str], features: dict[str, np.ndarray]) -> pa.Table:
        """Lay features out in the order of a bank or of phrases."""
        schema = text_features_schema(self._model.dimensions)
        values = [features[string] for string in strings]
        table = pa.table(
            [pa.array(list(strings)), pa.array(values, schema.field("feature").type)], schema=schema
        )
        return table.replace_schema_metadata({LOGIT_SCALE: repr(self._model.logit_scale).encode()})


def phrases(
    bank: Iterable[tuple[str, Mapping[str, Any] | None]], relations: Relations, template: str
) -> list[str]:
    """Return what R asks for besides the captions themselves: distinct prompted strings, in order of need.

    Args:
        bank: captions with their parses; those without a readable one need nothing, since R is not computed
            for them.
        relations: settings of R.
        template: of the method.
    """
    needed: dict[str, None] = {}
    for text, parse in bank:
        if parse is None:
            continue
        try:
            _, *others = texts_needed(parse, text, relations)
        except ParseError:
            continue
        needed.update(dict.fromkeys(prompted(template, other) for other in others))
    return list(needed)
