"""The answer to a capacity question as JSON values: what `plb capacity --json` prints and the API answers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from service.capacity import answered

if TYPE_CHECKING:
    from service.capacity import Capacity

LEFTOVERS_SHOWN = 20


def document(found: Capacity) -> dict[str, Any]:
    """Return the answer; times are UTC texts, and what has no limit is null."""
    fleet = found.fleet
    return {
        "horizon": found.ask.horizon.value,
        "alpha": found.ask.alpha,
        "headroom": found.ask.headroom,
        "zones": found.ask.zones,
        "order_params": len(found.demand.order_params),
        "status": fleet.status.value,
        "reason": fleet.reason,
        "shards": found.shards,
        "shards_lower_bound": found.shards_bound,
        "price": found.price,
        "price_lower_bound": found.price_bound,
        "gap": found.price / found.price_bound - 1 if answered(found) and found.price_bound > 0 else None,
        "risk": found.risk,
        "binding_resource": fleet.binding_resource,
        "binding_at": _utc(found.hours.starts_s[fleet.binding_step]) if fleet.binding_step >= 0 else None,
        "bound_follows_from": fleet.binding_rule,
        "types": [
            {
                "name": kind.name,
                "capacity": {
                    name: each if isfinite(each) else None for name, each in zip(found.resources, kind.capacity, strict=True)
                },
                "price": kind.price,
                "most": kind.most,
                "shards": count,
            }
            for kind, count in zip(found.types, found.counts, strict=True)
        ],
        "hours": _hours(found),
        "plan": _plan(found),
        "leftovers": [asdict(each) for each in fleet.leftovers[:LEFTOVERS_SHOWN]],
        "leftovers_count": len(fleet.leftovers),
        "notes": list(found.notes),
        "took_s": round(found.took_s, 3),
    }


def _hours(found: Capacity) -> dict[str, Any]:
    hours = found.hours
    return {
        "type": hours.shard_type,
        "steps": [
            {"start": _utc(start_s), "needed": needed, "lower_bound": proven, "binding_resource": binding}
            for start_s, needed, proven, binding in zip(
                hours.starts_s.tolist(), hours.needed.tolist(), hours.proven.tolist(), hours.binding, strict=True
            )
        ],
    }


def _plan(found: Capacity) -> dict[str, Any] | None:
    way = found.realisation
    if way is None:
        return None
    moves = [
        {
            "order_param": move.order_param,
            "source": move.source or None,
            "destination": move.destination,
            "wave": move.wave,
            "segment": move.segment,
            "reason": move.reason,
        }
        for move in way.moves
    ]
    return {"start": way.start, "drain": list(way.drain), "moves": moves, "quality": way.words}


def _utc(at_s: float) -> str:
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
