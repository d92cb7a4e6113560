"""The calendar that comes with the sample."""

from datetime import UTC, datetime

from plb_ray.ingest.events_holidays import read_holidays
from plb_ray.simulation.events import packaged_events


def test_the_calendar_holds_the_year_of_the_sample():
    """Thanksgiving 2013 was the 28th of November, a day of New York's time."""
    thanksgiving = next(event for event in packaged_events().events if event.name == "Thanksgiving Day")
    assert datetime.fromtimestamp(thanksgiving.start_s, UTC) == datetime(2013, 11, 28, 5, tzinfo=UTC)
    assert thanksgiving.end_s - thanksgiving.start_s == 24 * 3600


def test_the_calendar_is_what_the_holidays_command_gives():
    """Importing the same state's holidays of that year adds no event a second time."""
    assert packaged_events() == read_holidays("US", [2013], "NY", "America/New_York")
