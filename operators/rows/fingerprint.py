"""Fingerprints: a short hash of everything that changes a number, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

FINGERPRINT_CHARS = 12


class Value(BaseModel):
    """Base of everything that enters a fingerprint: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def without_defaults(serialized: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Leave out at their default the fields that came later, so that older fingerprints stay valid."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in serialized.items()}
    return {k: v for k, v in serialized.items() if k not in later or plain[k] != later[k]}


def canonical_json(value: Any) -> str:
    """Serialise plain data so that equal values give equal text (sorted keys, no spaces, no NaN)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """Return the first 12 hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:FINGERPRINT_CHARS]


@cache
def minor_version(package: str) -> str:
    """Return the installed `major.minor` of a package without importing it."""
    return ".".join(version(package).split(".")[:2])
