"""Event calendars as CSV, the form that spreadsheets write.

    event_id,kind,name,start,end,order_params
    ,campaign,Black Friday,2014-11-28T00:00:00-05:00,2014-11-29T04:00:00-05:00,shop-*;checkout
    ,holiday,Thanksgiving,2014-11-27,,

`event_id`, `name` and `order_params` may be missing or empty: the id is then derived from the content, and no order params
means all. Patterns are separated by ";", so a name that holds one is written with "?" in its place. See `events_times` for
start and end.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from plb_ray.domain.events import Event, EventCalendar, as_kind, as_name, derived_id
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_times import UTC_NAME, span_of, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

NEEDED = ("kind", "start", "end")
COLUMNS = ("event_id", "kind", "name", "start", "end", "order_params")


def read_events_csv(text: str, origin: str, zone: str = UTC_NAME) -> EventCalendar:
    """Return the events of a CSV text.

    Args:
        text: with a header line; a byte order mark at its start is ignored.
        origin: names it in errors, for example by its path.
        zone: IANA name of the time zone of dates, and of times without an offset.

    Raises:
        BadInputError: naming the line (the header is line 1, as in a spreadsheet) and the column.
    """
    days = zone_of(zone)
    table = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), restkey="", strict=True)
    lines: dict[str, int] = {}
    events: list[Event] = []
    try:
        _check_header(table.fieldnames or (), f"events {origin}: line 1")
        for row in table:
            where = f"events {origin}: line {table.line_num}"
            event = _event(row, days, where)
            if event.event_id in lines:
                raise BadInputError(f"{where}: event_id: {event.event_id!r} is that of line {lines[event.event_id]}, too")
            lines[event.event_id] = table.line_num
            events.append(event)
    except csv.Error as error:
        raise BadInputError(f"events {origin}: after line {table.line_num}: this is not CSV: {error}") from error
    return EventCalendar(tuple(events))


def _check_header(names: Sequence[str], where: str) -> None:
    known = f"the columns are {', '.join(COLUMNS)}"
    lacking = [name for name in NEEDED if name not in names]
    if lacking:
        raise BadInputError(f"{where}: the header has no column {lacking[0]!r}; {known}")
    for name in names:
        if name not in COLUMNS or names.count(name) > 1:
            raise BadInputError(f"{where}: the header has an unknown or repeated column {name!r}; {known}")


def _event(row: dict[str, str], zone: ZoneInfo, where: str) -> Event:
    if "" in row:
        raise BadInputError(f"{where}: it has more cells than the header; put a value that holds a comma in quotes")
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    scope = tuple(dict.fromkeys(part.strip() for part in cells["order_params"].split(";") if part.strip()))
    kind, name = as_kind(cells["kind"]), as_name(cells["name"])
    try:
        start_s, end_s = span_of(cells["start"], cells["end"], zone)
        event_id = cells["event_id"] or derived_id(kind, name, start_s, end_s, scope)
        return Event(event_id, kind, name, start_s, end_s, scope)
    except (BadInputError, OverflowError) as error:
        raise BadInputError(f"{where}: {error}") from error
