"""The card beside a checkpoint file, in `<file>.card.json`: what its maker says of it."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationError

from infra.errors import InputError
from infra.files import storage
from infra.weights.fetch import file_facts
from operators.rows.fingerprint import Value

CARD_SUFFIX = ".card.json"


class Card(Value):
    """What a checkpoint's maker says of it; it counts only if the hash matches.

    Attributes:
        sha256: of the checkpoint file.
        label: as in `operators.methods.models.Weights`.
        architecture: open_clip's name, or SAM's (`vit_h`).
        made_by: command and source.
    """

    sha256: str
    label: Literal["real", "tiny", "random", "unverified"]
    architecture: str
    quick_gelu: bool = False
    made_by: str = ""

    @property
    def told_by(self) -> str:
        """Return what says how the weights were trained, for people."""
        return "the card beside the file"


def read_card(source: str, sha256: str) -> Card | None:
    """Return the card of a checkpoint whose hash is known, or None if it has no card.

    Raises:
        InputError: for a card that cannot be read or that belongs to another file.
    """
    try:
        card = Card.model_validate_json(storage.read_bytes(source + CARD_SUFFIX))
    except FileNotFoundError:
        return None
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]
        where = ".".join(map(str, detail["loc"])) or "content"
        raise InputError(f"{source}{CARD_SUFFIX}: {where}: {detail['msg']}") from problem
    if card.sha256 != sha256:
        raise InputError(f"checkpoint {source}: its card expects SHA-256 {card.sha256}, found {sha256}")
    return card


def write_card(
    path: str,
    label: Literal["real", "tiny", "random"],
    architecture: str,
    quick_gelu: bool = False,
    made_by: str = "",
) -> Card:
    """Write the card of a local checkpoint file beside it."""
    card = Card(
        sha256=file_facts(path).sha256,
        label=label,
        architecture=architecture,
        quick_gelu=quick_gelu,
        made_by=made_by,
    )
    storage.write_bytes(path + CARD_SUFFIX, card.model_dump_json(indent=1).encode())
    return card
