"""The acting half of API v1: plans and migrations."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Response, status

from plb_ray.control.views import Mode
from plb_ray.domain.migration import MigrationRequest
from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    NoPlanError,
    NotReadyError,
    PlbError,
    UnknownMigrationError,
    UnknownOrderParamError,
)
from service.api import examples
from service.api.deps import BalancerDep, NowDep
from service.api.schemas import Migration, MigrationList, MigrationStart, Plan, PlannedMove

if TYPE_CHECKING:
    from plb_ray.control.views import Balancer, Decision
    from plb_ray.domain.migration import MigrationRecord

router = APIRouter(prefix="/v1", tags=["act"])

MIGRATIONS_MAX = 1000  # how far back GET /v1/migrations/{id} finds one


@router.get(
    "/plans/latest", summary="The latest plan, with reasons", responses=examples.ok(examples.PLAN, "unknown", "busy")
)
async def get_latest_plan(balancer: BalancerDep) -> Plan:
    """What the last tick decided: moves with their reasons, what became of each, cost, proven bound and gap."""
    decision = await balancer.latest_decision()
    if decision is None:
        raise await _why_no_plan(balancer)
    return plan_out(decision)


async def _why_no_plan(balancer: Balancer) -> PlbError:
    if (await balancer.status()).mode is Mode.STATIC:
        return NoPlanError("there is no plan: in mode static the balancer only observes; POST /v1/plans:dry-run makes one")
    return NotReadyError("there is no plan yet: the first tick with enough history to forecast from is outstanding")


@router.post(
    "/plans:dry-run", summary="Plan now, act on nothing", responses=examples.ok(examples.DRY_RUN, "unknown", "busy")
)
async def post_dry_run(balancer: BalancerDep) -> Plan:
    """Makes the plan that a tick would make from what is known now. No migration is started."""
    return plan_out(await balancer.dry_run())


@router.get("/migrations", summary="Recent migrations", responses=examples.ok(examples.MIGRATIONS, "invalid", "busy"))
async def get_migrations(
    balancer: BalancerDep,
    limit: Annotated[int, Query(ge=1, le=MIGRATIONS_MAX)] = 50,
    order_param: Annotated[str | None, Query(description="only of this order param")] = None,
    *,
    active: Annotated[bool, Query(description="only those that still run")] = False,
) -> MigrationList:
    """The most recent migrations, newest first, running ones included. The filters look at the last 1,000."""
    filtered = active or order_param is not None
    records = await balancer.migrations(MIGRATIONS_MAX if filtered else limit)
    wanted = [
        each
        for each in records
        if (order_param is None or each.order_param == order_param) and not (active and each.step.terminal)
    ]
    return MigrationList(items=[migration_out(each) for each in wanted[:limit]], limit=limit)


@router.get(
    "/migrations/{migration_id:path}",
    summary="One migration",
    responses=examples.ok(examples.MIGRATION, "unknown", "invalid", "busy"),
)
async def get_migration(balancer: BalancerDep, migration_id: Annotated[str, Path(examples=["move-jfk-lax-1"])]) -> Migration:
    """The step a migration is at, what it has copied, and how long it paused. Finds the last 1,000 migrations."""
    for record in await balancer.migrations(MIGRATIONS_MAX):
        if record.migration_id == migration_id:
            return migration_out(record)
    raise UnknownMigrationError(migration_id)


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


async def _request_of(balancer: Balancer, body: MigrationStart, key: str | None, now_s: float) -> MigrationRequest:
    if key and body.request_id and key != body.request_id:
        raise BadInputError("Idempotency-Key and request_id differ; give one of them, or the same in both")
    source = body.source or await _owner(balancer, body.order_param)
    if source == body.destination:
        raise BadInputError(f"source and destination are both {source!r}; name another shard as destination")
    request_id = key or body.request_id or _new_id(body.order_param, source, body.destination, now_s)
    return MigrationRequest(request_id, body.order_param, source, body.destination, body.reason)


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


def migration_out(record: MigrationRecord) -> Migration:
    """Return a migration as the API shows it."""
    return Migration.model_validate({**vars(record), "finished": record.step.terminal})


def plan_out(decision: Decision) -> Plan:
    """Return a decision and its plan as the API shows them."""
    plan = decision.plan
    moves = [PlannedMove(**vars(each.move), admission=each.admission) for each in decision.moves]
    shown = {**vars(plan), "gap": plan.gap, "moves": moves, "unresolved": list(plan.unresolved)}
    about = {"number": decision.number, "at": decision.at_s, "mode": decision.mode, "tick_s": decision.tick_s}
    return Plan.model_validate({**shown, **about, "faults": list(decision.faults), "sources": decision.sources})
