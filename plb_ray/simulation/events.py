"""The packaged event calendar: the public holidays of the sample's year, as days of local time."""

from __future__ import annotations

from datetime import date
from importlib.resources import as_file, files

import pandas as pd

from plb_ray.domain.events import EventCalendar
from plb_ray.ingest.events_holidays import holiday
from plb_ray.ingest.events_times import zone_of

CALENDAR_FILE = "us_holidays_2013.csv"


def packaged_events() -> EventCalendar:
    """Return the holidays of 2013 in New York; they concern all order params."""
    with as_file(files("plb_ray.simulation.sample") / CALENDAR_FILE) as path:
        table = pd.read_csv(path)
    days = (date.fromisoformat(text) for text in table["date_local"])
    zones = (zone_of(name) for name in table["tz"])
    return EventCalendar(tuple(map(holiday, days, table["name"], zones)))
