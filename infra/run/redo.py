"""What `--retry-quarantined` makes anew: parts with expressions set aside for a cause found while running."""

from __future__ import annotations

from dataclasses import replace

from infra.run.artifacts import Address
from infra.run.plan import Plan
from operators.methods.products import Predictions, Product
from operators.rows.records import QUARANTINED, found_in_shard


def redo_quarantined(plan: Plan) -> Plan:
    """Return the plan with everything marked that a second attempt may mend, and say how much that is.

    Predictions are marked together with the features and masks that they were made from, of the same shard.
    A part stays as it is until its successor replaces it.
    """
    redo: set[Address] = set()
    expressions, in_shards = 0, 0
    for shard in plan.shards:
        for product in plan.predictions:
            address = plan.address(product, shard)
            errors = _errors(plan, address) if plan.store.has(address) else []
            final = sum(map(found_in_shard, errors))
            in_shards += final
            if len(errors) > final:
                expressions += len(errors) - final
                redo |= {address, *(plan.address(source, shard) for source in _sources(product))}
    print(f"set aside while running: {expressions} expressions; parts made anew: {len(redo)}")
    if in_shards:
        print(f"set aside when preparing: {in_shards} expressions; mend the input and prepare it again")
    return replace(plan, redo=frozenset(redo))


def _errors(plan: Plan, address: Address) -> list[dict[str, str]]:
    rows = plan.store.get(address).column("predictions").to_pylist()
    return [p["error"] for predictions in rows for p in predictions if p["status"] == QUARANTINED]


def _sources(product: Predictions) -> set[Product]:
    features = [feature for per_encoder in product.features() for feature in per_encoder]
    return {*features, *(feature.masks for feature in features if feature.masks)}
