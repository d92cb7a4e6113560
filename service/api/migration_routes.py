"""Migrations in API v1: list, look at, follow, start and cancel them."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response, status
from fastapi.responses import JSONResponse, StreamingResponse

from plb_ray.domain.migration import MigrationRequest
from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    StaleEpochError,
    UnknownMigrationError,
    UnknownOrderParamError,
)
from service.api import examples
from service.api.deps import BalancerDep, NowDep
from service.api.event_stream import EVENT_STREAM, Followers, follow
from service.api.migration_views import migration_detail, migration_out
from service.api.schemas import Migration, MigrationDetail, MigrationList, MigrationStart

if TYPE_CHECKING:
    from plb_ray.control.views import Balancer
    from plb_ray.domain.migration import MigrationRecord

router = APIRouter(prefix="/v1", tags=["act"])

MIGRATIONS_MAX = 1000

MigrationId = Annotated[str, Path(examples=["move-jfk-lax-1"], description="It may hold slashes, encoded or plain.")]


@router.get("/migrations", summary="Recent migrations", responses=examples.ok(examples.MIGRATIONS, "invalid", "busy"))
async def get_migrations(
    balancer: BalancerDep,
    limit: Annotated[int, Query(ge=1, le=MIGRATIONS_MAX)] = 50,
    order_param: Annotated[str | None, Query(description="only of this order param")] = None,
    *,
    active: Annotated[bool, Query(description="only those that still run")] = False,
) -> MigrationList:
    """The most recent migrations, newest first, running ones included.

    The filters look at the last 1,000 of all; `complete` says whether there may be older ones that would fit. What the
    balancer sent is found whatever its age by GET /v1/decisions?order_param=NAME&admission=admitted.
    """
    filtered = active or order_param is not None
    most = MIGRATIONS_MAX if filtered else limit
    records = await balancer.migrations(most)
    wanted = [
        each
        for each in records
        if (order_param is None or each.order_param == order_param) and not (active and each.step.terminal)
    ]
    complete = len(records) < most and len(wanted) <= limit
    items = [migration_out(each) for each in wanted[:limit]]
    return MigrationList(items=items, limit=limit, looked_at=len(records), complete=complete)


@router.get(
    "/migrations/{migration_id:path}/events",
    summary="Follow one migration",
    response_class=StreamingResponse,
    responses=examples.events(examples.EVENTS, "unknown", "invalid", "busy"),
)
async def get_migration_events(
    request: Request,
    balancer: BalancerDep,
    migration_id: MigrationId,
    last_event_id: Annotated[int, Header(ge=0, description="how many steps are known already")] = 0,
) -> Response:
    """Server-sent events to the migration's end: `step` with all records from the first on, `progress` in between.

    A broken connection goes on with the header Last-Event-ID, as browsers do by themselves; 204 says that nothing follows.
    """
    if EVENT_STREAM not in request.headers.get("accept", "") and (own := await _ends_so(balancer, migration_id)):
        return JSONResponse(own.model_dump(mode="json"))
    records = await balancer.timeline(migration_id)
    if last_event_id >= len(records) and records[-1].step.terminal:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    followers: Followers = request.app.state.followers
    followers.require_room()
    events = follow(balancer, migration_id, last_event_id, request.app.state.sleep)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(followers.counted(events), media_type=EVENT_STREAM, headers=headers)


async def _ends_so(balancer: Balancer, migration_id: str) -> MigrationDetail | None:
    """Return the migration whose own id ends with /events, if there is one: ids hold the names of order params."""
    try:
        return await _detail(balancer, f"{migration_id}/events")
    except UnknownMigrationError:
        return None


@router.get(
    "/migrations/{migration_id:path}",
    summary="One migration with its timeline",
    responses=examples.ok(examples.MIGRATION_DETAIL, "unknown", "invalid", "busy"),
)
async def get_migration(balancer: BalancerDep, migration_id: MigrationId) -> MigrationDetail:
    """The step a migration is at, and when it reached each one: what was copied and left, how long it paused, why it failed.

    Answered from the journal, whatever its age, until its retention is over.
    """
    return await _detail(balancer, migration_id)


async def _detail(balancer: Balancer, migration_id: str) -> MigrationDetail:
    record, timeline = await asyncio.gather(balancer.migration(migration_id), balancer.timeline(migration_id))
    return migration_detail(record, timeline)


@router.post(
    "/migrations",
    summary="Move an order param",
    status_code=status.HTTP_202_ACCEPTED,
    responses=examples.accepted(examples.MIGRATION, "malformed", "unknown", "conflict", "invalid", "full", "busy"),
)
async def post_migration(
    balancer: BalancerDep,
    now_s: NowDep,
    response: Response,
    body: MigrationStart,
    idempotency_key: Annotated[str | None, Header(pattern=r"^[\x21-\x7e]{1,128}$")] = None,
) -> Migration:
    """Starts a migration and returns at once; follow it at Location.

    With a `request_id` (or the header Idempotency-Key) a repeat joins the same migration instead of starting another.
    """
    request = await _request_of(balancer, body, idempotency_key, now_s)
    record = await balancer.migrate(request)
    _same_request(request, record)
    response.headers["Location"] = f"/v1/migrations/{quote(record.migration_id, safe='')}"
    return migration_out(record)


@router.post(
    "/migrations/{migration_id:path}/cancel",
    summary="Roll a migration back",
    responses=examples.ok(examples.MIGRATION_CANCELLED, "unknown", "conflict", "invalid", "busy"),
)
async def post_cancel(balancer: BalancerDep, migration_id: MigrationId) -> Migration:
    """Stops a migration before its commit point, and answers when the order param serves on its source again.

    Repeating it is harmless. Past the commit point a migration goes on to its end: 409.
    """
    try:
        return migration_out(await balancer.cancel(migration_id))
    except StaleEpochError as error:
        raise MigrationConflictError(
            f"migration {migration_id!r} is past its commit point and is not undone; to undo what it did, migrate "
            f"{error.order_param!r} back"
        ) from error


async def _request_of(balancer: Balancer, body: MigrationStart, key: str | None, now_s: float) -> MigrationRequest:
    if key and body.request_id and key != body.request_id:
        raise BadInputError("Idempotency-Key and request_id differ; give one of them, or the same in both")
    source = body.source or await _owner(balancer, body.order_param)
    if source == body.destination:
        raise BadInputError(f"source and destination are both {source!r}; name another shard as destination")
    request_id = key or body.request_id or _new_id(body.order_param, source, body.destination, now_s)
    return MigrationRequest(request_id, body.order_param, source, body.destination, body.reason, body.mode)


async def _owner(balancer: Balancer, order_param: str) -> str:
    placement = (await balancer.mapping()).placements.get(order_param)
    if placement is None:
        raise UnknownOrderParamError(order_param)
    return placement.owner


def _new_id(order_param: str, source: str, destination: str, now_s: float) -> str:
    """Return an id for a request that brought none: each such request is a new one, so the time is part of it."""
    text = "\0".join((order_param, source, destination, repr(now_s)))
    return f"api-{blake2b(text.encode(), digest_size=8).hexdigest()}"


def _same_request(request: MigrationRequest, record: MigrationRecord) -> None:
    """Refuse an id that was used for another migration; the call has joined that one and changed nothing."""
    if (record.order_param, record.destination) != (request.order_param, request.destination):
        raise MigrationConflictError(
            f"request id {request.request_id!r} was used before, to move {record.order_param!r} "
            f"to {record.destination!r}; use a new one"
        )
