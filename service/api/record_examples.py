"""The examples of the record's routes in the OpenAPI document: the story of `service.api.examples`, told on."""

from __future__ import annotations

from typing import Any

from service.api.load_examples import LOADS

_NONE: dict[str, Any] = {"some": [], "count": 0}
_MOVE = {
    "order_param": "JFK-LAX",
    "source": "shard-3",
    "destination": "shard-1",
    "reason": "p90 at 14:10 would put shard-3 at 112 % of CPU",
    "wave": 1,
    "via": "",
    "segment": 0,
    "admission": "admitted",
    "admission_words": "sent",
    "until": None,
}
_HEAD = {
    "number": 85,
    "at": "2013-11-27T14:00:00Z",
    "mode": "predictive",
    "basis": "forecast",
    "status": "optimal",
    "termination": "proven",
    "moves": [_MOVE],
    "sent": 1,
    "faults": [],
    "notes": [],
}
DECISIONS = {"items": [_HEAD], "next_before": None}
EFFECT = {
    "migration_id": "85-JFK-LAX",
    "decision": 85,
    "at": "2013-11-27T14:00:00Z",
    "order_param": "JFK-LAX",
    "source": "shard-3",
    "destination": "shard-1",
    "foreseen": True,
    "state": "settled",
    "why": "",
    "promised": {
        "resource": "cpu_cores",
        "taken_s": 132.0,
        "source_before": 1.12,
        "source_after": 0.79,
        "destination_before": 0.5,
        "destination_after": 0.84,
        "duration_s": 1.5,
        "steps": [
            {"start": "2013-11-27T14:10:00Z", "seconds": 600.0, "load": 0.34, "expected_load": 0.28, "taken_s": 132.0}
        ],
    },
    "realised": {
        "steps": 1,
        "taken_s": 102.0,
        "promised_taken_s": 132.0,
        "load_s": 160.0,
        "promised_load_s": 168.0,
        "source_without": 1.07,
        "source": 0.76,
        "destination": 0.81,
        "duration_s": 0.8,
        "pause_ms": 11.8,
        "bytes_copied": 10496,
        "messages_copied": 41,
        "cost_s": 0.01,
    },
}
EFFECTS = {"items": [EFFECT], "limit": 100}
_INPUTS = {
    "step_end": "2013-11-27T14:00:00Z",
    "order_params": 224,
    "headroom": 0.9,
    "level": 0.9,
    "first_step": "2013-11-27T14:00:00Z",
    "last_step": "2013-11-27T14:10:00Z",
    "steps": 3,
    "shards": [{"shard_id": "shard-3", "now": 0.68, "peak": 1.12, "peak_at": "2013-11-27T14:10:00Z"}],
    "shards_left_out": 0,
    "shards_left_out_peak": 0.0,
    "silent": _NONE,
    "moving": _NONE,
    "lead_s": 1.5,
    "orders": {
        "paused": False,
        "approval": False,
        "pinned": {"some": ["JFK-SEA"], "count": 1},
        "forbidden": _NONE,
        "draining": _NONE,
        "filling": _NONE,
        "spread_groups": 0,
    },
    "memory": {
        "sent_last_hour": 3,
        "moves": 12,
        "returns": 0,
        "cooling": _NONE,
        "forecast_trusted": True,
        "forecast_loss": 0.0021,
        "persistence_loss": 0.004,
        "ratio": 0.84,
        "move_cost_s": 0.0151,
    },
}
DECISION = {
    **_HEAD,
    "cost": 1.0,
    "bound": 1.0,
    "broken_before": 0,
    "broken_after": 0,
    "overload_before": 0.22,
    "overload_after": 0.0,
    "max_utilisation": 0.79,
    "unresolved": [],
    "sources": {"ensemble": 220, "seasonal_naive": 4},
    "solve_s": 0.041,
    "tick_s": 0.12,
    "thrash": 0.0,
    "inputs": _INPUTS,
    "loads": LOADS,
    "effects": [EFFECT],
}
_ENTRY = {
    "number": 412,
    "at": "2026-01-15T09:30:00Z",
    "who": "balancer",
    "role": "",
    "action": "migration.sent",
    "target": "85-JFK-LAX",
    "outcome": "sent",
    "detail": "JFK-LAX: shard-3 -> shard-1; p90 at 14:10 would put shard-3 at 112 % of CPU",
}
AUDIT = {"items": [_ENTRY], "next_before": None}
AUDIT_LINES = (
    '{"number":412,"at":"2026-01-15T09:30:00Z","who":"balancer","role":"","action":"migration.sent","target":"85-JFK-LAX",'
    '"outcome":"sent","detail":"JFK-LAX: shard-3 -> shard-1"}\n'
)
COST = {
    "order_param": "JFK-LAX",
    "cost": {"cpu_core_s": 0.0021, "memory_bytes": 256.0, "io_bytes": 1024.0},
    "lower": {"cpu_core_s": 0.0019, "memory_bytes": 251.0, "io_bytes": 905.0},
    "upper": {"cpu_core_s": 0.0023, "memory_bytes": 261.0, "io_bytes": 1143.0},
    "messages": 40118.5,
    "payload_bytes": 256.0,
}
COSTS = {"items": [COST], "total": 1, "limit": 100, "offset": 0}
