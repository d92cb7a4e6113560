"""The examples of the routes of orders and saved plans in the OpenAPI document: the story of `service.api.examples`."""

from __future__ import annotations

from typing import Any

from service.api import examples

ORDERS: dict[str, Any] = {
    "mode": "auto",
    "effective_mode": "forecast_only",
    "why": "auto, as set by balancer.mode: the backtest has not passed yet: forecasts have been held against what came for "
    "7 of 24 hours (1640 of 200 times)",
    "paused": False,
    "approval": True,
    "pinned": ["JFK-SEA"],
    "forbidden": {"tenant/7/orders": ["shard-1"]},
    "spread_groups": {"primaries": ["EWR-BOS", "JFK-LAX"]},
    "draining": ["shard-4"],
    "filling": [],
    "changed_at": "2013-11-27T13:52:00Z",
    "changed_by": "ada",
}
SAVE = {"note": "for tonight", "expires_s": 43_200}
_EVENT = {"at": "2013-11-27T14:00:00Z", "state": "saved", "who": "ada", "why": ""}
_OF_A_TICK = ("number", "at", "status", "faults", "sources", "basis", "notes", "tick_s")
_SHOWN = {key: value for key, value in examples.PLAN.items() if key not in _OF_A_TICK}
_MOVE = {key: value for key, value in examples.PLAN["moves"][0].items() if key not in ("admission", "until")}
SAVED_PLAN: dict[str, Any] = {
    **_SHOWN,
    "plan_id": "plan-17",
    "state": "saved",
    "plan_status": "optimal",
    "made_at": "2013-11-27T14:00:00Z",
    "made_by": "ada",
    "decision": 85,
    "expires_at": "2013-11-28T02:00:00Z",
    "note": "for tonight",
    "moves": [_MOVE],
    "history": [_EVENT],
}
EXECUTING = {
    **SAVED_PLAN,
    "state": "executing",
    "history": [_EVENT, {**_EVENT, "at": "2013-11-27T14:02:00Z", "state": "executing"}],
}
CANCELLED = {
    **SAVED_PLAN,
    "state": "cancelled",
    "history": [_EVENT, {**_EVENT, "at": "2013-11-27T14:02:00Z", "state": "cancelled"}],
}
_LISTED = {key: value for key, value in SAVED_PLAN.items() if key != "loads"}
SAVED_PLANS = {"items": [_LISTED], "limit": 50, "offset": 0}
