"""The check that a model with a small vocabulary knows every word it will be asked about."""

from __future__ import annotations

from infra.errors import InputError
from infra.run.plan import Plan
from infra.run.stages import prompted_bank

MAX_LISTED = 10


def check_words(plan: Plan) -> None:
    """Check the missing texts of encoders whose vocabulary was cut down to some words.

    Raises:
        InputError: naming the encoder, the split, the first expression and its unknown words.
    """
    for part in plan.missing_texts():
        if not part.encoder.words:
            continue
        from operators.encode.encoder import kind_of

        unknown = kind_of(part.encoder).unknown_words(part.encoder, prompted_bank(plan, part))
        if unknown:
            first = next(iter(unknown))
            words = dict.fromkeys(word for found in unknown.values() for word in found)
            raise InputError(
                f"encoder {part.encoder.name} knows {len(part.encoder.words)} words, for synthetic scenes; "
                f"{part.dataset}/{part.split} has {len(unknown)} texts with others, such as {first!r} "
                f"({', '.join(list(words)[:MAX_LISTED])}); use a real encoder such as ViT-B-32:openai"
            )
