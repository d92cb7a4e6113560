"""What stands between the network and the routes, in the order in which a request meets it.

RequestIds      an id for every request
RequestContext  that id in the log, and a span if it is traced
RequestMetrics  counts and latencies by route
AuditTrail      notes who changed what
Guard           who calls, may they, do they ask too much
Repeats         idempotency keys
Snapshots       answers kept for a moment, ETags
FastAPI         the routes
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

from plb_ray.clock import monotonic_s
from service.api import examples
from service.api.access import access_to
from service.api.audit_trail import AuditTrail
from service.api.guard import MEGABYTE, SAFE, Guard, RefusedError, Rules, refusal
from service.api.kept_reads import KeptReads
from service.api.metrics import RequestMetrics
from service.api.repeat_store import FolderRepeats, MemoryRepeats, RepeatStore
from service.api.repeats import OWN_KEYS, Repeats
from service.api.request_context import RequestContext
from service.api.request_ids import RequestIds
from service.api.snapshots import Snapshots, is_snapshot
from service.auth.buckets import Buckets
from service.auth.gate import gate_of
from service.auth.tokens import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fastapi import APIRouter, FastAPI

    from plb_ray.settings import HttpSettings

BEARER = {"type": "http", "scheme": "bearer", "description": "An API token (`plb token create`), or the issuer's JWT."}
COOKIE_LOGIN = {"type": "apiKey", "in": "cookie", "name": "plb_session", "description": "A login: POST /v1/session."}
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Comes back with the answer and stands in the log; made up if missing.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETag of an answer that is known; 304 if it has not changed.",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of the same request sent again, so that it is carried out once; kept for 24 hours.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
ETAG = {"description": "changes when the answer does", "schema": {"type": "string"}}


@dataclass(frozen=True)
class Platform:
    """What the application does for all its routes.

    Attributes:
        rules: who may call, and how much.
        snapshot_s: how old an answer to a read may be.
        repeats: where the answers to requests with idempotency keys are kept.
        monotonic_s: a clock that only goes forward.
        echo_ids: whether answers get their request's id here, or from what stands before us.
    """

    rules: Rules = field(default_factory=Rules)
    snapshot_s: float = 0.0
    repeats: RepeatStore = field(default_factory=MemoryRepeats)
    monotonic_s: Callable[[], float] = monotonic_s
    echo_ids: bool = True


def platform_of(settings: HttpSettings, state_dir: Path) -> Platform:
    """Return what the settings ask for, behind Ray Serve's proxy.

    Raises:
        BadInputError: a file of tokens or keys cannot be used.
    """
    limits, auth = settings.limits, settings.auth
    rules = Rules(
        gate=gate_of(auth, state_dir),
        rates=Buckets(limits.requests_per_s, limits.burst),
        body_bytes_max=int(limits.body_mb * MEGABYTE),
        local_names_only=auth.mode == "off" and not auth.open_to_network,
    )
    return Platform(rules, settings.snapshot_s, FolderRepeats(state_dir / FOLDER / "repeats"), echo_ids=False)


def install_platform(app: FastAPI, routers: Sequence[APIRouter], platform: Platform) -> None:
    """Put everything before the routes, and into the OpenAPI document."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.state.rules = platform.rules
    app.state.reads = reads = KeptReads(app.state.balancer, platform.snapshot_s, platform.monotonic_s)
    app.add_exception_handler(RefusedError, refusal)
    # The last one added is the first one met.
    app.add_middleware(Snapshots, keep_s=platform.snapshot_s, now_s=platform.monotonic_s, changed=reads.forget)
    app.add_middleware(Repeats, store=platform.repeats, now_s=app.state.now_s)
    app.add_middleware(Guard, routes=routes, rules=platform.rules)
    app.add_middleware(AuditTrail, balancer=app.state.balancer, now_s=app.state.now_s)
    app.add_middleware(RequestMetrics, metrics=app.state.metrics)
    app.add_middleware(RequestContext)
    app.add_middleware(RequestIds, echo=platform.echo_ids)
    _document(app, routes, guarded=not platform.rules.gate.is_open)


def _document(app: FastAPI, routes: Sequence[APIRoute], *, guarded: bool) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = make()
        if guarded:
            document["components"]["securitySchemes"] = {"token": BEARER, "login": COOKIE_LOGIN}
        for route in routes:
            for method in route.methods:
                operation = document["paths"][route.path_format][method.lower()]
                _complete(operation, method, route.path_format, guarded=guarded)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(operation: dict[str, Any], method: str, path: str, *, guarded: bool) -> None:
    """Add what holds for every route: credentials, request ids, keys, ETags, and the refusals that come with them."""
    access = access_to(method, path)
    given, answers = operation.setdefault("parameters", []), operation["responses"]
    failures = {"too_often"}
    if guarded and access.role is not None:
        operation["security"] = [{"token": []}, {"login": []}]
        operation["description"] += f"\n\nNeeds the role {access.role.value}."
        failures |= {"unauthenticated", "forbidden"}
    if method not in SAFE:
        failures |= {"forbidden", "too_large"}
    if method == "POST" and access.action and path not in OWN_KEYS:
        failures |= {"key_reused", "bad_key"}
        _add(given, IDEMPOTENCY_KEY)
    if method == "GET" and is_snapshot(path):
        _add(given, IF_NONE_MATCH)
        answers["200"].setdefault("headers", {})["ETag"] = ETAG
        answers.setdefault("304", {"description": "Not changed since the answer with this ETag."})
    _add(given, REQUEST_ID)
    for status, answer in examples.problems(*sorted(failures)).items():
        answers.setdefault(str(status), answer)


def _add(parameters: list[dict[str, Any]], one: dict[str, Any]) -> None:
    if all(each["name"].lower() != one["name"].lower() for each in parameters):
        parameters.append(one)
