"""The event calendar in API v1: list, put, remove, and import from CSV, iCalendar or JSON."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from plb_ray.domain import events as domain
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_read import Form, read_events
from plb_ray.ingest.events_times import Span, default_span
from service.api import examples
from service.api.calendar_schemas import CalendarChange, Event, EventList, EventPut
from service.api.deps import BalancerDep, NowDep
from service.api.moments import Moment

router = APIRouter(prefix="/v1", tags=["events"])

BODY_BYTES_MAX = 4_000_000
FORMS = {"text/csv": Form.CSV, "text/calendar": Form.ICS, "application/json": Form.JSON}
_BODY = {
    "required": True,
    "content": {
        kind: {"schema": {"type": "string"}, "example": example} for kind, example in examples.CALENDAR_FILES.items()
    },
}


@router.get("/events", summary="The event calendar", responses=examples.ok(examples.CALENDAR, "busy"))
async def get_events(balancer: BalancerDep) -> EventList:
    """Every event, past ones included, in the order of time."""
    calendar = await balancer.events()
    return EventList(items=[Event.model_validate(event) for event in calendar.events])


@router.post(
    "/events", summary="Put one event", responses=examples.ok(examples.CALENDAR_EVENT, "bad_event", "invalid", "busy")
)
async def post_event(balancer: BalancerDep, body: EventPut) -> Event:
    """Adds an event, or replaces the one with its id, and answers when that is kept. Repeating it changes nothing."""
    event = _event_of(body)
    await balancer.put_events(domain.EventCalendar((event,)))
    return Event.model_validate(event)


@router.delete(
    "/events/{event_id:path}",
    summary="Remove one event",
    responses=examples.ok(examples.CALENDAR_EVENT, "unknown_event", "invalid", "busy"),
)
async def delete_event(
    balancer: BalancerDep,
    event_id: Annotated[str, Path(examples=["cup-final"], description="It may hold slashes, encoded or plain.")],
) -> Event:
    """Takes an event out of the calendar and answers with what it was."""
    return Event.model_validate(await balancer.remove_event(event_id))


@router.post(
    "/events:import",
    summary="Import a calendar",
    responses=examples.ok(examples.CALENDAR_CHANGE, "bad_calendar", "invalid", "busy"),
    openapi_extra={"requestBody": _BODY},
)
async def post_import(
    request: Request,
    balancer: BalancerDep,
    now_s: NowDep,
    zone: Annotated[
        str | None, Query(description="IANA time zone of dates and of times without an offset; default UTC")
    ] = None,
    first: Annotated[
        Moment | None,
        Query(alias="from", description="recurring events are written out from here; default: a year ago"),
    ] = None,
    last: Annotated[Moment | None, Query(alias="to", description="up to here; default: in two years")] = None,
) -> CalendarChange:
    """Adds the events of a calendar, or replaces those with the same ids: all of them, or, if one cannot be meant, none.

    The Content-Type says what it is: text/csv, text/calendar (iCalendar) or application/json (as GET /v1/events answers).
    Repeating it changes nothing. Events that are missing in it stay in the calendar.
    """
    form, span = _form_of(request), _span(first, last, now_s)
    events = await asyncio.to_thread(read_events, await _body_of(request), form, "(body)", span, zone)
    return CalendarChange.model_validate(await balancer.put_events(events))


def _event_of(body: EventPut) -> domain.Event:
    kind, scope = domain.as_kind(body.kind), tuple(body.order_params)
    start_s, end_s = body.start.timestamp(), body.end.timestamp()
    event_id = domain.derived_id(kind, body.name, start_s, end_s, scope) if body.event_id is None else body.event_id
    return domain.Event(event_id, kind, body.name, start_s, end_s, scope)


def _span(first: Moment | None, last: Moment | None, now_s: float) -> Span:
    usual = default_span(now_s)
    span = Span(first.timestamp() if first else usual.start_s, last.timestamp() if last else usual.end_s)
    if span.start_s >= span.end_s:
        raise BadInputError("from is not before to; name a span of time")
    return span


def _form_of(request: Request) -> Form:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in FORMS:
        raise BadInputError(f"Content-Type {media!r} is no calendar; send one of {', '.join(FORMS)}")
    return FORMS[media]


async def _body_of(request: Request) -> bytes:
    """Return the body; one that is too large is not read to its end."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadInputError(f"the calendar has more than {BODY_BYTES_MAX} bytes; send it in parts")
    return bytes(body)
