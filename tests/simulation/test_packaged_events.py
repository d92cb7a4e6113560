"""The calendar that comes with the sample."""

from datetime import UTC, datetime

from plb_ray.simulation.events import packaged_events, within


def test_the_calendar_holds_the_year_of_the_sample():
    """Thanksgiving 2013 was the 28th of November, a day of New York's time."""
    events = packaged_events()
    thanksgiving = next(event for event in events if event.name == "Thanksgiving Day")
    assert datetime.fromtimestamp(thanksgiving.start_s, UTC) == datetime(2013, 11, 28, 5, tzinfo=UTC)
    assert thanksgiving.end_s - thanksgiving.start_s == 24 * 3600
    assert [event.start_s for event in events] == sorted(event.start_s for event in events)


def test_only_what_touches_the_span_is_found():
    """An event that ends when the span starts does not count."""
    event = packaged_events()[0]
    assert within(packaged_events(), event.end_s - 1, event.end_s + 1) == (event,)
    assert within(packaged_events(), event.end_s, event.end_s + 1) == ()
