"""What methods need of the prepared data, known from the manifest: refused where it is not there at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.dataset.shards import Manifest, Split
from infra.errors import InputError
from operators.methods.method import Method


def require_needs(
    manifest: Manifest,
    data: str,
    splits: Sequence[Split],
    methods: Sequence[Method],
    proposals: Sequence[str],
) -> None:
    """Check that every method can score something, before a model is so much as looked for.

    Args:
        manifest: of the prepared data.
        data: its folder, for messages.
        splits: the chosen ones.
        methods: the chosen ones.
        proposals: the chosen sources of boxes.

    Raises:
        InputError: naming what is not there, for which method and split, and the fix.
    """
    _require_expressions(data, splits)
    for name in proposals:
        for dataset in dict.fromkeys(split.dataset for split in splits):
            if not {f"{name}/{dataset}", name} & set(manifest.proposal_sets):
                known = ", ".join(manifest.proposal_sets)
                raise InputError(f"{data} has no {name!r} proposals for {dataset}; it has: {known}")
    for name in _exact_sets(splits, methods, proposals):
        if name not in manifest.exact_mask_sets:
            known = ", ".join(manifest.exact_mask_sets) or "nothing"
            raise InputError(
                f"--masks exact: {data} has masks of the dataset's own for {known}, "
                f"not for {name}; choose --proposals gold or --masks box"
            )
    for method in methods:
        _require_parses(data, splits, method)


def known_gaps(
    manifest: Manifest, splits: Sequence[Split], methods: Sequence[Method], proposals: Sequence[str]
) -> Iterator[str]:
    """Yield a line for what is there in part only, so that expressions will be set aside."""
    aside = sum(split.set_aside or 0 for split in splits)
    if aside:
        yield f"{aside} expressions were set aside when preparing"
    if any(method.relations for method in methods):
        lacking = sum(s.expressions - s.parsed for s in splits if s.parsed is not None)
        if lacking:
            yield f"{lacking} expressions have no parse; methods with R set them aside"
    for name in _exact_sets(splits, methods, proposals):
        counts = manifest.sets.get(name)
        if counts and counts.masks < counts.boxes:
            yield f"{counts.boxes - counts.masks} of {counts.boxes} boxes of {name} have no mask of their own"


def _require_expressions(data: str, splits: Sequence[Split]) -> None:
    if splits and all(split.set_aside == split.expressions for split in splits):
        names = ", ".join(split.name for split in splits)
        raise InputError(
            f"{data}: every expression of {names} was set aside when preparing; its manifest.json says why "
            "under `reasons`; mend the input and prepare it again"
        )


def _exact_sets(splits: Sequence[Split], methods: Sequence[Method], proposals: Sequence[str]) -> list[str]:
    """Return the proposal sets whose own masks some method draws with."""
    if not any(variant.mask_source == "exact" for method in methods for variant in method.variants):
        return []
    return list(dict.fromkeys(f"{name}/{split.dataset}" for name in proposals for split in splits))


def _require_parses(data: str, splits: Sequence[Split], method: Method) -> None:
    for split in splits if method.relations else ():
        if not split.parsers or split.parsed == 0:
            raise InputError(
                f"method {method.name!r} needs parses for R, and no expression of {split.name} in {data} has "
                "one; prepare again with --parser en_core_web_sm or --parses FILE, or leave R out"
            )
