from __future__ import annotations

from pathlib import Path

import pytest

from plb_ray.domain.events import EventCalendar
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_json import events_json
from plb_ray.ingest.events_read import Form, form_of, read_events
from plb_ray.ingest.events_times import Span

SPAN = Span(0.0, 4e9)
CSV = "kind,start,end,name\nmatch,2014-11-26T10:00Z,2014-11-26T12:00Z,Café\n"
ICS = (
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u1\r\nCATEGORIES:Match\r\nSUMMARY:Café\r\n"
    "DTSTART:20141126T100000Z\r\nDTEND:20141126T120000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_each_form_gives_the_same_event():
    """The same match as CSV, iCalendar and JSON, with a byte order mark or without, differs in nothing but its id."""
    from_csv = read_events(CSV.encode("utf-8-sig"), Form.CSV, "f", SPAN)
    from_ics = read_events(ICS.encode("utf-8-sig"), Form.ICS, "f", SPAN)
    assert read_events(events_json(from_csv).encode(), Form.JSON, "f", SPAN) == from_csv
    (one,), (other,) = from_csv.events, from_ics.events
    assert (one.kind, one.name, one.start_s, one.end_s) == (other.kind, other.name, other.start_s, other.end_s)


def test_a_zone_reaches_the_readers():
    """Whole days are those of the zone asked for."""
    for body, form in (
        ("kind,start,end\nmatch,2014-11-26,", Form.CSV),
        (ICS.replace("T100000Z", "").replace("T120000Z", ""), Form.ICS),
    ):
        text = body.replace("DTEND:20141126", "DTEND:20141127")
        calendar = read_events(text.encode(), form, "f", SPAN, "America/New_York")
        assert [event.start_s % 86_400 for event in calendar.events] == [5 * 3600]


def test_what_is_not_utf_8():
    """Text in another encoding is refused rather than misread."""
    with pytest.raises(BadInputError, match="events f: is not UTF-8 at byte 65"):
        read_events(CSV.encode("latin-1"), Form.CSV, "f", SPAN)


@pytest.mark.parametrize(("name", "form"), [("a.csv", Form.CSV), ("a.b.ICS", Form.ICS), ("x/events.json", Form.JSON)])
def test_the_ending_says_the_form(name, form):
    """Endings are read in any case."""
    assert form_of(Path(name)) is form


@pytest.mark.parametrize("name", ["a.xlsx", "a", ".csv"])
def test_other_endings_are_refused(name):
    """An ending that is not known is refused with those that are."""
    with pytest.raises(BadInputError, match=r"unknown ending .*\.csv, \.ics"):
        form_of(Path(name))


def test_an_empty_calendar_is_a_calendar():
    """A table with nothing but its header has no events."""
    assert read_events(b"kind,start,end\n", Form.CSV, "f", SPAN) == EventCalendar()
