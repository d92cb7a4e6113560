"""The audit log, in API v1: pages for people, lines for files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from plb_ray.domain.audit import AuditQuery
from service.api import examples, record_examples
from service.api.deps import BalancerDep
from service.api.record_query import PAGE_MAX, Before, Limit, Name, Since, Until, next_before, seconds_of
from service.api.record_schemas import AuditItem, AuditPage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plb_ray.control.views import Balancer
    from plb_ray.domain.audit import AuditEntry

router = APIRouter(prefix="/v1", tags=["record"])

NDJSON = "application/x-ndjson"


@router.get("/audit", summary="Who did what", responses=examples.ok(record_examples.AUDIT, "invalid", "busy"))
async def get_audit(
    balancer: BalancerDep,
    *,
    limit: Limit = 100,
    before: Before = None,
    who: Name = None,
    action: Name = None,
    since: Since = None,
    until: Until = None,
) -> AuditPage:
    """One page of the audit log, newest first. `action` is one of them, or its first word for all that begin with it."""
    query = AuditQuery(limit, before, None, who, action, seconds_of(since), seconds_of(until))
    items = [AuditItem.model_validate(each) for each in await balancer.audit_log(query)]
    return AuditPage(items=items, next_before=next_before([each.number for each in items], limit))


@router.get(
    "/audit:export",
    summary="The audit log as a file",
    response_class=StreamingResponse,
    responses=examples.lines(record_examples.AUDIT_LINES, "invalid", "busy"),
)
async def export_audit(
    balancer: BalancerDep, *, who: Name = None, action: Name = None, since: Since = None, until: Until = None
) -> StreamingResponse:
    """One JSON object a line, oldest first, all of it; what is noted while it is read may be at its end."""
    query = AuditQuery(PAGE_MAX, None, 0, who, action, seconds_of(since), seconds_of(until))
    first = await balancer.audit_log(query)  # what is wrong is answered as a problem, before the file has begun
    return StreamingResponse(_lines(balancer, query, first), media_type=NDJSON)


async def _lines(balancer: Balancer, query: AuditQuery, page: tuple[AuditEntry, ...]) -> AsyncIterator[str]:
    while page:
        yield "".join(f"{AuditItem.model_validate(each).model_dump_json()}\n" for each in page)
        if len(page) < query.limit:
            return
        filters = (query.who, query.action, query.since_s, query.until_s)
        page = await balancer.audit_log(AuditQuery(query.limit, None, page[-1].number, *filters))
