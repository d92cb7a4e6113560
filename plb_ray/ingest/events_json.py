"""Event calendars as JSON: the form in which the calendar is kept, which people may edit, and which the API answers.

    {"format": 1, "items": [{"event_id": "bf-2014", "kind": "campaign", "name": "Black Friday",
                             "start": "2014-11-28T05:00:00Z", "end": "2014-11-29T05:00:00Z", "order_params": ["shop-*"]}]}

Times have an offset. `format` may be left out, as may `name` and `order_params`; none or an empty list means all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from plb_ray.domain.events import Event, EventCalendar, Scope
from plb_ray.errors import BadInputError


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: str
    kind: str
    name: str = ""
    start: AwareDatetime
    end: AwareDatetime
    order_params: Scope = ()

    def event(self) -> Event:
        return Event(self.event_id, self.kind, self.name, self.start.timestamp(), self.end.timestamp(), self.order_params)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1] = 1
    items: tuple[_Row, ...]


def read_events_json(text: str | bytes, origin: str) -> EventCalendar:
    """Return the events of a JSON text.

    Args:
        text: see above.
        origin: names it in errors, for example by its path.

    Raises:
        BadInputError: naming the first field that is wrong, as `items.3.start` (the first event is 0).
    """
    try:
        rows = _Document.model_validate_json(text).items
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(top)"
        raise BadInputError(f"events {origin}: {where}: {first['msg']}") from error
    try:
        return EventCalendar(tuple(row.event() for row in rows))
    except BadInputError as error:
        raise BadInputError(f"events {origin}: {error}") from error


def events_json(calendar: EventCalendar) -> str:
    """Return a calendar as JSON, a line per field; reading it gives the calendar again, to the microsecond."""
    rows = tuple(_row(event) for event in calendar.events)
    return _Document(items=rows).model_dump_json(indent=1) + "\n"


def _row(event: Event) -> _Row:
    times = {"start": datetime.fromtimestamp(event.start_s, UTC), "end": datetime.fromtimestamp(event.end_s, UTC)}
    return _Row(event_id=event.event_id, kind=event.kind, name=event.name, order_params=event.scope, **times)
