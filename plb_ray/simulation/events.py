"""The packaged event calendar: the public holidays of the sample's year, as days of local time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import as_file, files
from zoneinfo import ZoneInfo

import pandas as pd

CALENDAR_FILE = "us_holidays_2013.csv"


@dataclass(frozen=True)
class Event:
    """Something known ahead that may change the traffic, from `start_s` to `end_s` (seconds since the Unix epoch)."""

    name: str
    start_s: float
    end_s: float


def packaged_events() -> tuple[Event, ...]:
    """Return the holidays of 2013 in New York, in the order of time."""
    with as_file(files("plb_ray.simulation.sample") / CALENDAR_FILE) as path:
        table = pd.read_csv(path)
    return tuple(_event(row.name, row.date_local, row.tz) for row in table.itertuples(index=False))


def within(events: tuple[Event, ...], start_s: float, end_s: float) -> tuple[Event, ...]:
    """Return the events that touch a span of time."""
    return tuple(event for event in events if event.start_s < end_s and event.end_s > start_s)


def _event(name: str, date_local: str, zone: str) -> Event:
    """Return the event of one local day, which has 23 to 25 hours."""
    start = datetime.fromisoformat(date_local).replace(tzinfo=ZoneInfo(zone))
    return Event(name, start.timestamp(), (start + timedelta(days=1)).timestamp())
