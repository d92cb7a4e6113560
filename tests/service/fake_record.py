"""The record of the fake balancer: decisions, effects and an audit log in memory, and costs of the order params it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plb_ray.control.memory_record import MemoryAudit, MemoryEffects
from plb_ray.control.record_port import CostPage, CostView
from plb_ray.domain.audit import AuditEntry, DecisionQuery
from plb_ray.domain.effects import EffectState, MoveEffect, Promise, Realised
from plb_ray.domain.load import ResourceVector
from plb_ray.errors import UnknownDecisionError, UnknownOrderParamError

AT_S = 1_385_560_800.0  # 2013-11-27 14:00 UTC
PROMISE = Promise(
    resource="cpu_cores",
    starts_s=(AT_S, AT_S + 600),
    lengths_s=(600.0, 600.0),
    load=(0.3, 0.34),
    expected_load=(0.25, 0.28),
    taken_s=(60.0, 132.0),
    source_before=1.12,
    source_after=0.79,
    destination_before=0.5,
    destination_after=0.84,
    duration_s=1.5,
)
CAME = Realised(2, AT_S + 600, 150.0, 192.0, 310.0, 318.0, 1.07, 0.76, 0.81, 0.8, 11.8, 10_496, 41, 0.02)
NAMES = {"some": [], "count": 0}
INPUTS = {
    "step_end_s": AT_S,
    "order_params": 41,
    "headroom": 0.9,
    "level": 0.9,
    "first_step_s": AT_S,
    "last_step_s": AT_S + 600,
    "steps": 3,
    "shards": {
        "shard_ids": ["shard-3", "shard-2"],
        "now": [0.68, 0.6],
        "peak": [1.12, 0.7],
        "peak_at_s": [AT_S + 600, AT_S],
        "left_out": 2,
        "left_out_peak": 0.62,
    },
    "silent": NAMES,
    "moving": {"some": ["tenant/7/orders -> shard-1"], "count": 1},
    "lead_s": 1.5,
    "orders": {
        "paused": False,
        "approval": False,
        "pinned": {"some": ["JFK-SEA"], "count": 1},
        "forbidden": NAMES,
        "draining": NAMES,
        "filling": NAMES,
        "spread_groups": 0,
    },
    "memory": {
        "sent_last_hour": 3,
        "moves": 12,
        "returns": 0,
        "cooling": {"some": ["EWR-BOS"], "count": 1},
        "forecast_trusted": True,
        "forecast_loss": 0.0021,
        "persistence_loss": 0.004,
        "ratio": 0.84,
        "move_cost_s": 0.0151,
    },
}
LOADS = {
    "headroom": 0.9,
    "resources": ["cpu_cores", "memory_bytes", "io_bytes_per_s"],
    "shard_ids": ["shard-3", "shard-4", "shard-2", "shard-1"],
    "capacity": [[1.0, 0.0, 50e6]] * 4,
    "now": [[0.88, 4e6, 11e6], [0.45, 3e6, 6e6], [0.63, 3e6, 8e6], [0.56, 3e6, 7e6]],
    "before": [[1.12, 4e6, 14e6], [0.5, 3e6, 6.5e6], [0.7, 3e6, 9e6], [0.62, 3e6, 8e6]],
    "after": [[0.79, 4e6, 10e6], [0.84, 3e6, 10.5e6], [0.7, 3e6, 9e6], [0.69, 3e6, 8.5e6]],
    "left_out": 0,
    "left_out_peak": 0.0,
}


def effect(number: int, name: str, state: EffectState = EffectState.SETTLED) -> MoveEffect:
    came = CAME if state is EffectState.SETTLED else Realised()
    way = (name, "shard-3", "shard-4")
    return MoveEffect(f"{number}-{name}", number, 0, AT_S, *way, foreseen=True, promise=PROMISE, realised=came, state=state)


def decision(number: int, *moves: tuple[str, str]) -> dict[str, Any]:
    """Return a decision's document, as the journal gives it back."""
    return {
        "number": number,
        "at_s": AT_S + 600.0 * (number - 85),
        "mode": "predictive",
        "plan": {
            "status": "optimal" if moves else "not_needed",
            "termination": "proven",
            "moves": [],
            "cost": float(len(moves)),
            "bound": float(len(moves)),
            "broken_before": 0,
            "broken_after": 0,
            "overload_before": 0.22,
            "overload_after": 0.0,
            "max_utilisation": 0.84,
            "unresolved": [],
            "solve_s": 0.043,
            "first_sound_s": None,
        },
        "moves": [
            {
                "move": {
                    "order_param": name,
                    "source": "shard-3",
                    "destination": "shard-4",
                    "reason": "p90 at 14:10 would put shard-3 at 112 % of CPU",
                    "wave": 1,
                    "segment": 0,
                    "via": "",
                    "via_wave": 0,
                },
                "admission": admission,
                "until_s": AT_S + 3600 if admission == "deferred" else None,
            }
            for name, admission in moves
        ],
        "faults": [],
        "sources": {"ensemble": 37, "seasonal_naive": 4},
        "tick_s": 0.12,
        "basis": "forecast",
        "notes": ["the CPU per message on shard-2 has changed to 1.4 times what it was: it is learned anew"],
        "thrash": 0.0,
        "inputs": INPUTS,
        "loads": LOADS,
    }


def default_decisions() -> list[dict[str, Any]]:
    """An earlier release's, which knew neither basis, notes nor inputs; ones without moves; two with."""
    old = {key: value for key, value in decision(82).items() if key not in ("basis", "notes", "thrash", "inputs", "loads")}
    moved = decision(83, ("JFK-ATL", "admitted"), ("a//b", "deferred"))
    return [decision(85, ("tenant/7/orders", "tick_budget")), decision(84), moved, old]


@dataclass
class FakeRecord:
    """A base of `FakeBalancer`, which has `_maybe_fail` and `placements`."""

    made: list[dict[str, Any]] = field(default_factory=default_decisions)
    kept_effects: MemoryEffects = field(default_factory=MemoryEffects)
    log: MemoryAudit = field(default_factory=MemoryAudit)

    async def note(self, entry):
        self._maybe_fail("note")
        await self.log.append([entry])

    async def audit_log(self, query):
        self._maybe_fail("audit_log")
        return await self.log.find(query)

    async def decisions(self, query: DecisionQuery):
        self._maybe_fail("decisions")
        return tuple(each for each in self.made if _fits(each, query))[: query.limit]

    async def decision_of(self, number):
        self._maybe_fail("decision_of")
        found = next((each for each in self.made if each["number"] == number), None)
        if found is None:
            raise UnknownDecisionError(number)
        return found

    async def effects(self, query):
        self._maybe_fail("effects")
        return await self.kept_effects.find(query)

    async def costs(self, contains, limit, offset):
        self._maybe_fail("costs")
        found = sorted(name for name in self.placements.placements if contains.casefold() in name.casefold())
        return CostPage(tuple(_cost(name) for name in found[offset : offset + limit]), len(found))

    async def cost(self, order_param):
        self._maybe_fail("cost")
        if order_param not in self.placements.placements:
            raise UnknownOrderParamError(order_param)
        return _cost(order_param)


def _cost(name: str) -> CostView:
    cost = ResourceVector(0.002 * len(name), 256.0, 1024.0)
    lower, upper = ResourceVector(cost.cpu_cores * 0.9, 250.0, 900.0), ResourceVector(cost.cpu_cores * 1.1, 262.0, 1150.0)
    return CostView(name, cost, lower, upper, 5000.0, 256.0)


def _fits(document: dict[str, Any], query: DecisionQuery) -> bool:
    moves = [
        each
        for each in document["moves"]
        if query.order_param in (None, each["move"]["order_param"]) and query.admission in (None, each["admission"])
    ]
    asked = query.with_moves or query.order_param is not None or query.admission is not None
    return (
        (query.before is None or document["number"] < query.before)
        and (query.since_s is None or document["at_s"] >= query.since_s)
        and (query.until_s is None or document["at_s"] < query.until_s)
        and (bool(moves) or not asked)
    )


ENTRIES = (
    AuditEntry(0, AT_S, "balancer", "", "decision.made", "83", "1 of 2 moves sent", "deferred: 1"),
    AuditEntry(0, AT_S + 1, "balancer", "", "migration.sent", "83-JFK-ATL", "sent", "JFK-ATL: shard-3 -> shard-4"),
    AuditEntry(0, AT_S + 5, "ada", "operator", "PATCH /v1/balancer", "", "200", ""),
)
