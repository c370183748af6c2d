"""Settings of the relation engine R: each quirk of the published method is a named option."""

from __future__ import annotations

from typing import Literal

from operators.rows.fingerprint import Value


class Relations(Value):
    """Post-processing R; the defaults are the published method (rec_scoring spec sections 10 and 14).

    Attributes:
        relations, superlatives, null_words: whether each keyword list is used at all.
        need_keyword: an expression without any keyword is scored by its caption alone (quirk 12; `False` is
            the reference's `parse_no_branch`).
        with_caption: the caption's distribution multiplies the entity's (quirk 13).
        possessive: text of an entity with a relation that no keyword explains ("man in red shirt"): `last`
            takes the words that lead to the last such phrase, as published (quirk 10); `all` those that lead
            to any; `append` adds each path and phrase (`possessive_no_expand`); `none` ignores them.
        between: "between" is a relation like any other without keyword (`possessive`, as published: quirk
            11), has no effect (`ignored`: the reference with `--ternary`), or is `applied` as intended.
        expand_chunks: noun chunks take in neighbouring words that depend on them and lead to no other chunk.
        skip_superlatives_when_certain: superlatives are left out if all but one probability is exactly 0
            (quirk 9).
        certainty: superlatives are left out if the largest probability is at least this many times the
            second, and relations if it is at most 1; None for never.
        superlative_head_only: superlatives rank the boxes as if all were equally probable.
        zero_means_first: when no box satisfies a relation, probabilities are NaN and the first box is taken
            (quirk 9); otherwise the relation or superlative has no effect.
        probabilities: how scores of entities become probabilities; the caption's always by softmax.
        temperature: of `sigmoid`.
    """

    relations: bool = True
    superlatives: bool = True
    null_words: bool = True
    need_keyword: bool = True
    with_caption: bool = True
    possessive: Literal["last", "all", "append", "none"] = "last"
    between: Literal["possessive", "ignored", "applied"] = "possessive"
    expand_chunks: bool = False
    skip_superlatives_when_certain: bool = True
    certainty: float | None = None
    superlative_head_only: bool = False
    zero_means_first: bool = True
    probabilities: Literal["softmax", "sigmoid"] = "softmax"
    temperature: float = 1.0

    def wording(self) -> Relations:
        """Return the settings that decide which texts are needed, all others at their defaults."""
        kept = {
            name: getattr(self, name)
            for name in (
                "relations",
                "superlatives",
                "null_words",
                "need_keyword",
                "possessive",
                "between",
                "expand_chunks",
            )
        }
        # With at most 1 no relation is followed, whatever the value.
        return Relations(**kept, certainty=1.0 if self.ignores_relations else None)

    @property
    def ignores_relations(self) -> bool:
        """Say whether `certainty` rules relations out: an entity starts with a ratio of 1."""
        return self.certainty is not None and self.certainty <= 1
