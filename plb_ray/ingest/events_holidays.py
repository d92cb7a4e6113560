"""Public holidays of a country, or of a part of it, by the package `holidays`, which computes them for any year."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holidays import country_holidays, list_supported_countries

from plb_ray.domain.events import Event, EventCalendar, Scope, derived_id
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_times import UTC_NAME, seconds_after, seconds_at, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from zoneinfo import ZoneInfo

KIND = "holiday"
YEARS_MAX = 200


def read_holidays(
    country: str, years: Iterable[int], subdivision: str | None = None, zone: str = UTC_NAME, scope: Scope = ()
) -> EventCalendar:
    """Return the public holidays of some years, as whole local days and with those moved to a working day.

    Args:
        country: ISO 3166-1 code of two letters, such as US.
        years: at most `YEARS_MAX`.
        subdivision: ISO 3166-2 code without the country, such as NY; None takes what holds in the whole country.
        zone: IANA name of the time zone in which the days begin.
        scope: order params that the holidays concern; empty: all.

    Raises:
        BadInputError: no such country, subdivision or zone, or no holiday is known for these years.
    """
    _check_place(country, subdivision)
    chosen = sorted(set(years))
    if not 0 < len(chosen) <= YEARS_MAX:
        raise BadInputError(f"holidays: {len(chosen)} years; give 1 to {YEARS_MAX}, such as 2014-2015")
    found = country_holidays(country, subdiv=subdivision, years=chosen)
    if not found:
        raise BadInputError(f"holidays of {country}: none is known for {chosen[0]}-{chosen[-1]}; give other years")
    days = zone_of(zone)
    return EventCalendar(tuple(holiday(day, name, days, scope) for day, name in found.items()))


def holiday(day: date, name: str, zone: ZoneInfo, scope: Scope = ()) -> Event:
    """Return a holiday: the whole local day, which has 23 to 25 hours."""
    start_s, end_s = seconds_at(day, zone), seconds_after(day, zone)
    return Event(derived_id(KIND, name, start_s, end_s, scope), KIND, name, start_s, end_s, scope)


def _check_place(country: str, subdivision: str | None) -> None:
    known = list_supported_countries()
    if country not in known:
        raise BadInputError(
            f"holidays: unknown country {country!r}; {len(known)} are known by their ISO 3166-1 code, such as US, DE or JP"
        )
    if subdivision is not None and subdivision not in known[country]:
        listed = ", ".join(known[country]) or "none"
        raise BadInputError(f"holidays of {country}: unknown subdivision {subdivision!r}; the known ones are: {listed}")
