"""The examples in the OpenAPI document: one small coherent story. A test holds each to its own schema."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from service.api.load_examples import LOADS

Responses = dict[int | str, dict[str, Any]]

ORDER_PARAMS: dict[str, Any] = {
    "route": {"summary": "a flight route", "value": "JFK-LAX"},
    "slashes": {"summary": "a name with slashes", "value": "tenant/7/orders"},
}

_CPU_BAND = {
    "starts": ["2013-11-27T14:00:00Z", "2013-11-27T14:10:00Z"],
    "expected": [0.71, 0.94],
    "target": [0.83, 1.12],
}
_SHARD = {
    "shard_id": "shard-3",
    "endpoint": "127.0.0.1:7073",
    "capacity": {"cpu_cores": 1.0, "memory_bytes": 512e6, "io_bytes_per_s": 50e6},
    "utilisation": {"cpu_cores": 0.68, "memory_bytes": 0.12, "io_bytes_per_s": 0.31},
    "arrival_messages_per_s": 204.0,
    "served_messages_per_s": 203.5,
    "backlog": 41,
    "oldest_age_s": 0.2,
    "order_params": 56,
    "history_at": ["2013-11-27T13:40:00Z", "2013-11-27T13:50:00Z"],
    "history": [0.61, 0.68],
    "bands": {"cpu_cores": _CPU_BAND},
    "congestion_at": "2013-11-27T14:10:00Z",
    "error": "",
    "draining": False,
}
PUSHED = {
    "new": 2,
    "late": 0,
    "duplicate": 0,
    "replaced": 0,
    "too_late": 0,
    "refused": 1,
    "repeated": 0,
    "resets": 0,
    "reasons": ["order param 'JFK-LAX', time 2013-11-27T13:40:00+00:00, value -4.0: the value is negative"],
}
SAMPLES = {
    "kind": "rate",
    "samples": [
        {"order_param": "JFK-LAX", "at": "2013-11-27T13:40:00Z", "value": -4.0},
        {"order_param": "JFK-LAX", "at": "2013-11-27T13:50:00Z", "value": 4.7},
        {"order_param": "tenant/7/orders", "at": 1385560200, "value": 0},
    ],
}
STATUS = {
    "mode": "predictive",
    "mode_why": "as set by balancer.mode",
    "paused": False,
    "approval": False,
    "plans_awaiting": 0,
    "ready": True,
    "at": "2013-11-27T14:00:00Z",
    "ticks": 85,
    "headroom": 0.9,
    "level": 0.9,
    "shards": [_SHARD],
    "order_params": 224,
    "migrations_active": 1,
    "migrations_done": 12,
    "migrations_rolled_back": 0,
    "training": [{"horizon": "short", "done": 2, "total": 2, "fraction": 1.0, "failed": 0, "message": "trained"}],
    "queue_endpoint": "127.0.0.1:7070",
    "last_error": "",
    "restarts": 0,
    "history": {
        "step_s": 600,
        "steps": 47_000,
        "end": "2013-11-27T14:00:00Z",
        "order_params": 224,
        "pushed": {**PUSHED, "refused": 0, "reasons": []},
        "source_error": "",
    },
    "experience": {"ratio": 0.84, "move_cost_s": 0.0151, "moves": 11.4, "taken_s": 1204.0, "promised_s": 1440.0},
    "fleet": None,
}
FORECAST = {
    "order_param": "JFK-LAX",
    "horizon": "short",
    "source": "ensemble",
    "step_s": 600,
    "levels": [0.1, 0.5, 0.9],
    "steps": [
        {"at": "2013-11-27T14:00:00Z", "messages_per_s": [4.1, 5.0, 6.3]},
        {"at": "2013-11-27T14:10:00Z", "messages_per_s": [5.2, 7.1, 9.8]},
    ],
    "history": [{"at": "2013-11-27T13:50:00Z", "messages_per_s": 4.7}],
}
ALLOCATIONS = {
    "items": [{"order_param": "JFK-LAX", "shards": ["shard-3"], "epoch": 2}],
    "total": 1,
    "limit": 100,
    "offset": 0,
    "generation": 236,
}
_MOVE = {
    "order_param": "JFK-LAX",
    "source": "shard-3",
    "destination": "shard-1",
    "reason": "p90 at 14:10 would put shard-3 at 112 % of CPU",
    "wave": 1,
    "via": "",
    "via_wave": 0,
    "segment": 0,
    "admission": "admitted",
    "until": None,
}
PLAN = {
    "number": 85,
    "at": "2013-11-27T14:00:00Z",
    "mode": "predictive",
    "status": "optimal",
    "termination": "proven",
    "moves": [_MOVE],
    "cost": 1.0,
    "bound": 1.0,
    "gap": 0.0,
    "broken_before": 0,
    "broken_after": 0,
    "overload_before": 0.22,
    "overload_after": 0.0,
    "max_utilisation": 0.79,
    "unresolved": [],
    "faults": [],
    "sources": {"ensemble": 220, "seasonal_naive": 4},
    "basis": "forecast",
    "notes": [],
    "solve_s": 0.041,
    "tick_s": 0.12,
    "loads": LOADS,
}
DRY_RUN = {**PLAN, "moves": [{**_MOVE, "admission": "dry_run"}]}
MIGRATION = {
    "migration_id": "move-jfk-lax-1",
    "order_param": "JFK-LAX",
    "source": "shard-3",
    "destination": "shard-1",
    "epoch": 2,
    "step": "done",
    "finished": True,
    "reason": _MOVE["reason"],
    "started_at": "2026-01-15T09:30:00Z",
    "finished_at": "2026-01-15T09:30:01Z",
    "messages_copied": 41,
    "bytes_copied": 10496,
    "pause_ms": 11.8,
    "error": "",
    "mode": "copy",
    "at": "2026-01-15T09:30:01Z",
    "lag_messages": 0,
    "eta_s": None,
}
_MOMENT = {
    "step": "prepare",
    "at": "2026-01-15T09:30:00Z",
    "messages_copied": 0,
    "bytes_copied": 0,
    "lag_messages": 41,
    "pause_ms": None,
    "eta_s": None,
    "error": "",
}
_COPIED = {"messages_copied": 41, "bytes_copied": 10496, "lag_messages": 0}
MIGRATION_DETAIL = {
    **MIGRATION,
    "timeline": [
        _MOMENT,
        {**_MOMENT, **_COPIED, "step": "precopied", "at": "2026-01-15T09:30:00.810Z", "eta_s": 0.02},
        {**_MOMENT, **_COPIED, "step": "paused", "at": "2026-01-15T09:30:00.815Z"},
        {**_MOMENT, **_COPIED, "step": "sealed", "at": "2026-01-15T09:30:00.819Z"},
        {**_MOMENT, **_COPIED, "step": "done", "at": "2026-01-15T09:30:01Z", "pause_ms": 11.8},
    ],
}
MIGRATION_CANCELLED = {
    **MIGRATION,
    "step": "aborted",
    "pause_ms": None,
    "error": "at prepare: cancelled on request",
}
EVENTS = f"retry: 1000\n\nevent: step\nid: 5\ndata: {json.dumps(MIGRATION)}\n\n"
MIGRATIONS = {"items": [MIGRATION], "limit": 50, "looked_at": 1, "complete": True}
START = {
    "order_param": "JFK-LAX",
    "destination": "shard-1",
    "request_id": "move-jfk-lax-1",
    "reason": "maintenance",
}
EVENT_PUT = {
    "event_id": "black-friday-2026",
    "kind": "campaign",
    "name": "Black Friday",
    "start": "2026-11-27T05:00:00Z",
    "end": "2026-11-28T05:00:00Z",
    "order_params": ["shop-*", "checkout"],
}
CALENDAR_EVENT = EVENT_PUT
CALENDAR = {"items": [CALENDAR_EVENT]}
CALENDAR_CHANGE = {"added": 1, "changed": 0, "unchanged": 0}
CALENDAR_FILES = {
    "text/csv": (
        "kind,name,start,end,order_params\n"
        "campaign,Black Friday,2026-11-27T05:00Z,2026-11-28T05:00Z,shop-*;checkout\n"
        "holiday,Thanksgiving,2026-11-26,,\n"
    ),
    "text/calendar": (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:backup\r\nCATEGORIES:maintenance\r\nSUMMARY:Backup\r\n"
        "DTSTART;TZID=Europe/Berlin:20260105T020000\r\nDURATION:PT1H\r\nRRULE:FREQ=WEEKLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ),
    "application/json": json.dumps(CALENDAR),
}
READY = {"status": "ready", "shards_answering": 4, "shards": 4}
METRICS = (
    '# TYPE plb_shard_utilisation_ratio gauge\nplb_shard_utilisation_ratio{resource="cpu_cores",shard="shard-3"} 0.68\n'
)

# name: (status, reason, detail, more members, what it means)
_PROBLEMS: dict[str, tuple[HTTPStatus, str, str, dict[str, Any], str]] = {
    "malformed": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "source and destination are both 'shard-3'; name another shard as destination",
        {},
        "The request contradicts itself.",
    ),
    "off_grid": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "history: a step starts at 1385560200, which is not on the grid of 600 s steps",
        {},
        "The history's steps do not start at multiples of their length; nothing was taken.",
    ),
    "unknown": (
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_ORDER_PARAM",
        "unknown order param 'JFK-XXX'; `plb status` and GET /v1/allocations list the known ones",
        {},
        "There is no such order param, shard, migration or forecast.",
    ),
    "bad_event": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "event 'cup-final': end: 2026-05-30T18:00:00Z is not after the start, 2026-05-30T20:00:00Z; ...",
        {},
        "The event cannot be meant.",
    ),
    "bad_calendar": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "events (body): line 3: start: '27.11.2026' is not a time such as 2014-11-27T09:00:00Z, ...",
        {},
        "The calendar cannot be read; nothing was changed.",
    ),
    "unknown_event": (
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_EVENT",
        "unknown event 'cup-final'; `plb events list` and GET /v1/events list the known ones",
        {},
        "There is no such event.",
    ),
    "unknown_decision": (
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_DECISION",
        "there is no decision 86, or it was pruned; `plb decisions` and GET /v1/decisions list those kept",
        {},
        "There is no such decision, or it was pruned.",
    ),
    "contradiction": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "shard 'shard-4' cannot be drained and filled at once; take one of the two back first",
        {},
        "The orders would contradict each other.",
    ),
    "unknown_plan": (
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_PLAN",
        "unknown plan 'plan-99'; `plb plan list` and GET /v1/plans list those that are kept",
        {},
        "There is no such plan.",
    ),
    "no_plan": (
        HTTPStatus.NOT_FOUND,
        "NO_PLAN",
        "there is nothing to save: no shard is or will be over its limit, and no rule is broken",
        {},
        "Nothing needs to move, or nothing can be foreseen yet.",
    ),
    "plan_over": (
        HTTPStatus.CONFLICT,
        "PLAN_CONFLICT",
        "plan 'plan-17' is expired: its time was over; it cannot be executing any more",
        {},
        "The plan has ended otherwise, or the balancer is paused.",
    ),
    "bad_question": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "capacity question, growth: no order param is called 'shop-*'",
        {},
        "The question cannot be meant.",
    ),
    "conflict": (
        HTTPStatus.CONFLICT,
        "MIGRATION_CONFLICT",
        "order param 'JFK-LAX' is already being migrated by 'tick-84-2'; wait for it or use its id",
        {},
        "It contradicts the present state.",
    ),
    "invalid": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "INVALID_REQUEST",
        "query.limit: Input should be greater than or equal to 1",
        {"errors": [{"where": "query.limit", "what": "Input should be greater than or equal to 1"}]},
        "A parameter or the body does not fit its schema.",
    ),
    "unauthenticated": (
        HTTPStatus.UNAUTHORIZED,
        "UNKNOWN_TOKEN",
        "this token is not known; `plb token create` makes one",
        {},
        "Say who you are, or something else: the credential is missing or not accepted.",
    ),
    "forbidden": (
        HTTPStatus.FORBIDDEN,
        "FORBIDDEN",
        "'anna' is viewer; this needs operator",
        {},
        "Your role does not allow it, or a browser asks on behalf of another site.",
    ),
    "too_often": (
        HTTPStatus.TOO_MANY_REQUESTS,
        "RATE_LIMITED",
        "anna asks more than http.limits.requests_per_s allows; wait 1 s",
        {"retry_after_s": 1},
        "You ask too much, or a cap is reached; see Retry-After.",
    ),
    "too_large": (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "BODY_TOO_LARGE",
        "the body has more than 64000000 bytes; send it in parts",
        {},
        "The body is larger than http.limits.body_mb.",
    ),
    "bad_key": (
        HTTPStatus.BAD_REQUEST,
        "BAD_INPUT",
        "Idempotency-Key: 1 to 128 printable characters without spaces",
        {},
        "The request cannot be meant.",
    ),
    "key_reused": (
        HTTPStatus.CONFLICT,
        "IDEMPOTENCY_KEY_REUSED",
        "Idempotency-Key 'k-1' was used before, for another request; use a new one",
        {},
        "The idempotency key was used for another request, or that request still runs (IDEMPOTENCY_IN_PROGRESS).",
    ),
    "auth_off": (
        HTTPStatus.CONFLICT,
        "AUTHENTICATION_OFF",
        "authentication is off, so no token opens anything; set http.auth.mode and start the service anew",
        {},
        "Authentication is off.",
    ),
    "full": (
        HTTPStatus.TOO_MANY_REQUESTS,
        "TOO_MANY_MIGRATIONS",
        "4 migrations run already; retry when one has ended",
        {"retry_after_s": 1},
        "The cap on running migrations is reached; see Retry-After.",
    ),
    "busy": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "CONTROL_UNAVAILABLE",
        "the control loop is restarting; retry in a moment",
        {"retry_after_s": 1},
        "Not ready, or the control loop is being restarted; see Retry-After.",
    ),
}


def ok(example: Any, *failures: str) -> Responses:
    """Return the documented responses of a route that answers 200 with JSON."""
    return {200: {"content": {"application/json": {"example": example}}}, **problems(*failures)}


def accepted(example: Any, *failures: str) -> Responses:
    """Return the documented responses of a route that answers 202 and says where to follow."""
    location = {"description": "where to follow it", "schema": {"type": "string"}}
    answer = {"content": {"application/json": {"example": example}}, "headers": {"Location": location}}
    return {202: answer, **problems(*failures)}


def created(example: Any, *failures: str) -> Responses:
    """Return the documented responses of a route that answers 201 with what it made, and says where that is."""
    location = {"description": "where it is", "schema": {"type": "string"}}
    answer = {"content": {"application/json": {"example": example}}, "headers": {"Location": location}}
    return {201: answer, **problems(*failures)}


def events(example: str, *failures: str) -> Responses:
    """Return the documented responses of a route that answers with server-sent events, or that nothing follows."""
    answer = {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": example}}}
    return {200: answer, 204: {"description": "the migration has ended and all is known"}, **problems(*failures)}


def lines(example: str, *failures: str) -> Responses:
    """Return the documented responses of a route that answers with a JSON object a line."""
    answer = {"content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": example}}}
    return {200: answer, **problems(*failures)}


def text(example: str) -> Responses:
    """Return the documented responses of a route that answers 200 with text."""
    return {200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": example}}}}


def problems(*names: str) -> Responses:
    """Return the documented responses of requests that fail in these ways."""
    return {int(_PROBLEMS[name][0]): _problem(name) for name in names}


def _problem(name: str) -> dict[str, Any]:
    status, reason, detail, more, description = _PROBLEMS[name]
    example = {
        "type": f"urn:plb-ray:problem:{reason.lower().replace('_', '-')}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "instance": "/v1/...",
        "reason": reason,
        **more,
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema, "example": example}}}
