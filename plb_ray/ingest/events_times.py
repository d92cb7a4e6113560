"""Times as people write them in calendars. A date alone is a whole local day, which has 23 to 25 hours.

Time zones come from the machine, and from the package `tzdata` where it has none (containers, Windows).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from datetime import tzinfo

UTC_NAME = "UTC"
YEAR_S = 366 * 86_400


@dataclass(frozen=True)
class Span:
    """Where recurring events are written out: those that touch [start_s, end_s), seconds since the Unix epoch."""

    start_s: float
    end_s: float


def default_span(now_s: float) -> Span:
    """Return where recurring events are written out unless said otherwise: from a year ago to two years ahead."""
    return Span(now_s - YEAR_S, now_s + 2 * YEAR_S)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        BadInputError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInputError(f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin or UTC") from error


def span_of(start: str, end: str, zone: tzinfo) -> tuple[float, float]:
    """Return the seconds of an event from what is written for its start and end.

    A date as `end` means that day to its end; no `end` means the one day of a start that is a date.

    Raises:
        BadInputError: one of them is no time, or the end is missing; the text begins with "start" or "end".
    """
    first = _moment(start, "start")
    last = _moment(end, "end") if end else first
    if not end and isinstance(first, datetime):
        raise BadInputError("end: is empty; only a start that is a date, such as 2014-11-27, can do without")
    return seconds_at(first, zone), seconds_after(last, zone)


def seconds_at(moment: date, zone: tzinfo) -> float:
    """Return the time of a moment, or the start of a day, in seconds; without an offset of its own it is in `zone`."""
    local = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    aware = local if local.tzinfo else local.replace(tzinfo=zone)
    return (aware - datetime.fromtimestamp(0, UTC)).total_seconds()


def seconds_after(moment: date, zone: tzinfo) -> float:
    """Return the time of a moment, or the end of a day."""
    return seconds_at(moment if isinstance(moment, datetime) else moment + timedelta(days=1), zone)


def _moment(text: str, field: str) -> date:
    """Return a date, or a datetime with or without an offset."""
    for kind in (date, datetime):
        try:
            return kind.fromisoformat(text)
        except ValueError:
            continue
    raise BadInputError(f"{field}: {text!r} is not a time such as 2014-11-27T09:00:00Z, nor a date such as 2014-11-27")
