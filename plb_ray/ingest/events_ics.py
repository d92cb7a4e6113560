"""Event calendars as iCalendar (RFC 5545), the form that calendar programs write.

    SUMMARY             the name
    CATEGORIES          the kind, the first of them; "event" without
    X-PLB-ORDER-PARAMS  names or patterns separated by ";" (a comma is part of a name); all without
    DTSTART             with DTEND or DURATION; a DTSTART that is a date and stands alone is one whole day
    RRULE               with RDATE and EXDATE; RECURRENCE-ID changes one occurrence, STATUS:CANCELLED takes it away

Limits: recurring events are written out inside a span that is given, at most `EVENTS_MAX` in one calendar. They
recur once an hour at most. An RDATE with a period of its own and a change of "this and all future" are refused. To-dos and
journals are not read. Dates, and times without a zone, are in the zone asked for, else in the calendar's own
(X-WR-TIMEZONE), else in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from dateutil.rrule import rruleset, rrulestr
from icalendar import Calendar, vRecur

from plb_ray.domain.events import EVENTS_MAX, Event, EventCalendar, as_kind, as_name, derived_id, utc_text
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_times import UTC_NAME, Span, seconds_at, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

KIND_WITHOUT = "event"
ONCE = ("UID", "SUMMARY", "STATUS", "DTSTART", "DTEND", "DURATION", "RRULE", "RECURRENCE-ID")
REPEATED = ("CATEGORIES", "RDATE", "EXDATE")
RECURRENCES_MAX = 1_000_000
"""How many recurrences are looked at, those before the span included: some seconds."""

FREQUENCIES = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")


def read_events_ics(text: str, origin: str, span: Span, zone: str | None = None) -> EventCalendar:
    """Return the events of an iCalendar text. Those that do not recur are returned whatever their time.

    Args:
        text: one VCALENDAR.
        origin: names it in errors, for example by its path.
        span: inside which recurring events are written out.
        zone: IANA name of the time zone of dates and of times without one; None: the calendar's own, else UTC.

    Raises:
        BadInputError: naming the event by its UID or SUMMARY.
    """
    calendar = _parsed(text, f"events {origin}")
    days = zone_of(zone or str(calendar.get("X-WR-TIMEZONE", UTC_NAME)))
    found: dict[str, Event] = {}
    # Changed single occurrences come last: they take the place of what the rule gives.
    for component in sorted(calendar.walk("VEVENT"), key=lambda each: "RECURRENCE-ID" in each):
        name = component.get("UID") or component.get("SUMMARY") or "an event without UID"
        try:
            _note(found, component, span, days)
        except (BadInputError, ValueError, OverflowError) as error:
            raise BadInputError(f"events {origin}: {name}: {error}") from error
    return EventCalendar(tuple(found.values()))


def _parsed(text: str, where: str) -> Any:
    try:
        return Calendar.from_ical(text)
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        raise BadInputError(f"{where}: cannot be read as one iCalendar (BEGIN:VCALENDAR ...): {first_line}") from error


@dataclass(frozen=True)
class _Times:
    """When an event takes place: at a time on the wall of its zone, for whole local days, or (0) for `seconds`."""

    wall: datetime
    zone: tzinfo
    days: int
    seconds: float

    def span_at(self, wall: datetime) -> tuple[float, float]:
        """Return the start and end of an occurrence in seconds."""
        start_s = seconds_at(wall, self.zone)
        return start_s, seconds_at(wall + timedelta(days=self.days), self.zone) if self.days else start_s + self.seconds

    def on_wall(self, moment: Any) -> datetime:
        """Return a date or time of the calendar as a time on the wall of this zone."""
        if not isinstance(moment, date):
            raise BadInputError("RDATE: a period of its own is not supported; make it an event")
        if not isinstance(moment, datetime):
            return datetime.combine(moment, time())
        return moment.astimezone(self.zone).replace(tzinfo=None) if moment.tzinfo else moment


def _note(found: dict[str, Event], component: Any, span: Span, zone: tzinfo) -> None:
    """Add the occurrences of one component to what was found, or change one of them."""
    _require_readable(component)
    times = _times(component, zone)
    uid = str(component.get("UID", ""))
    cancelled = component.get("STATUS") == "CANCELLED"
    if "RECURRENCE-ID" in component:
        changed_s, _ = times.span_at(times.on_wall(_moment(component, "RECURRENCE-ID")))
        found.pop(_occurrence_id(uid, changed_s), None)
        if not cancelled:
            _add(found, component, _occurrence_id(uid, changed_s), times.span_at(times.wall))
    elif not cancelled and ("RRULE" in component or "RDATE" in component):
        for at_s in _occurrences(component, times, span):
            _add(found, component, _occurrence_id(uid, at_s[0]), at_s)
    elif not cancelled:
        _add(found, component, uid, times.span_at(times.wall))


def _add(found: dict[str, Event], component: Any, event_id: str, at_s: tuple[float, float]) -> None:
    categories = [str(each) for part in _all(component, "CATEGORIES") for each in part.cats]
    kind = as_kind(categories[0]) if categories else KIND_WITHOUT
    name = as_name(str(component.get("SUMMARY", "")))
    patterns = ";".join(str(part) for part in _all(component, "X-PLB-ORDER-PARAMS")).replace("\\", "").split(";")
    scope = tuple(dict.fromkeys(part.strip() for part in patterns if part.strip()))
    event = Event(event_id or derived_id(kind, name, *at_s, scope), kind, name, *at_s, scope)
    if event.event_id in found:
        raise BadInputError("UID: two events have it; give each its own")
    found[event.event_id] = event
    if len(found) > EVENTS_MAX:
        raise BadInputError(f"more than {EVENTS_MAX} events; ask for a shorter span of time")


def _occurrence_id(uid: str, start_s: float) -> str:
    """Return the id of one occurrence, by the time that its rule gives it; empty if there is no UID."""
    return uid and f"{uid}@{utc_text(start_s)}"


def _require_readable(component: Any) -> None:
    for field, problem in component.errors:
        if field in ONCE or field in REPEATED:
            raise BadInputError(f"{field}: {problem}")
    for field in ONCE:
        if isinstance(component.get(field), list):
            raise BadInputError(f"{field}: is there more than once")
    if "DTSTART" not in component:
        raise BadInputError("DTSTART: is missing")
    if "RECURRENCE-ID" in component and "RANGE" in component["RECURRENCE-ID"].params:
        raise BadInputError("RECURRENCE-ID: a change of this and all future occurrences is not supported; end the old rule")


def _times(component: Any, zone: tzinfo) -> _Times:
    start = _moment(component, "DTSTART")
    whole_days = not isinstance(start, datetime)
    own = start.tzinfo if isinstance(start, datetime) and start.tzinfo else zone
    wall = datetime.combine(start, time()) if not isinstance(start, datetime) else start.replace(tzinfo=None)
    if "DTEND" in component:
        end = _moment(component, "DTEND")
        if isinstance(end, datetime) is whole_days:
            raise BadInputError("DTEND: must be a date if DTSTART is one, else a time")
        seconds = seconds_at(end, zone) - seconds_at(start, zone)
        return _Times(wall, own, (end - start).days if whole_days else 0, seconds)
    if "DURATION" in component:
        length = component["DURATION"].dt
        return _Times(wall, own, length.days if whole_days and not length.seconds else 0, length.total_seconds())
    if whole_days:
        return _Times(wall, own, 1, 0.0)
    raise BadInputError("DTEND: is missing, and DURATION, too; an event lasts some time")


def _moment(component: Any, field: str) -> date:
    """Return a date or time; one in a zone that is not known is refused rather than taken for local."""
    value = component[field]
    if isinstance(value.dt, datetime) and value.dt.tzinfo is None and "TZID" in value.params:
        raise BadInputError(f"{field}: unknown time zone {value.params['TZID']!r}; use an IANA name such as Europe/Berlin")
    if not isinstance(value.dt, date):
        raise BadInputError(f"{field}: is neither a date nor a time")
    return value.dt


def _occurrences(component: Any, times: _Times, span: Span) -> Iterator[tuple[float, float]]:
    """Yield the start and end of each occurrence that touches the span."""
    without = [each.dt for dates in _all(component, "EXDATE") for each in dates.dts]
    walls_without = {times.on_wall(moment) for moment in without if isinstance(moment, datetime)}
    days_without = {moment for moment in without if not isinstance(moment, datetime)}
    for number, wall in enumerate(_walls_of(component, times)):
        if number >= RECURRENCES_MAX:
            raise BadInputError(f"RRULE: more than {RECURRENCES_MAX} recurrences; let it begin later, or end")
        start_s, end_s = times.span_at(wall)
        if start_s >= span.end_s:
            return
        if end_s > span.start_s and wall not in walls_without and wall.date() not in days_without:
            yield start_s, end_s


def _walls_of(component: Any, times: _Times) -> Iterator[datetime]:
    """Yield when an event recurs, on the wall of its zone, so that 9 o'clock stays 9 o'clock through the year."""
    try:
        yield from _recurring(component, times)
    except (ValueError, TypeError) as error:  # how dateutil says that a rule cannot be meant, some of it only on the way
        raise BadInputError(f"RRULE: {error}") from error


def _recurring(component: Any, times: _Times) -> rruleset:
    recurring = rruleset()
    recurring.rdate(times.wall)
    if "RRULE" in component:
        recurring.rrule(rrulestr(_rule(component["RRULE"], times), dtstart=times.wall))
    for dates in _all(component, "RDATE"):
        for each in dates.dts:
            recurring.rdate(times.on_wall(each.dt))
    return recurring


def _rule(rule: Any, times: _Times) -> str:
    """Return a rule as text, its UNTIL on the wall of the event's zone.

    Raises:
        BadInputError: it would not end, would recur too often, or contradicts itself.
    """
    if rule.get("FREQ", [""])[0] not in FREQUENCIES:
        raise BadInputError(f"RRULE: FREQ must be one of {', '.join(FREQUENCIES)}")
    if rule.get("INTERVAL", [1])[0] < 1:
        raise BadInputError("RRULE: INTERVAL must be 1 or more")
    if "UNTIL" not in rule:
        return _text(rule)
    if "COUNT" in rule:
        raise BadInputError("RRULE: COUNT and UNTIL exclude each other")
    until = rule["UNTIL"][0]
    last = times.on_wall(until) if isinstance(until, datetime) else datetime.combine(until, time(23, 59, 59))
    return _text({**rule, "UNTIL": [last]})


def _text(rule: Mapping[str, Any]) -> str:
    written: bytes = vRecur(rule).to_ical()  # type: ignore[no-untyped-call]
    return written.decode()


def _all(component: Any, field: str) -> list[Any]:
    """Return each value of a property that may be repeated."""
    values = component.get(field, [])
    return values if isinstance(values, list) else [values]
