from __future__ import annotations

from datetime import UTC, datetime

import pytest

from plb_ray.domain.events import utc_text
from plb_ray.errors import BadInputError
from plb_ray.ingest import events_ics
from plb_ray.ingest.events_ics import read_events_ics
from plb_ray.ingest.events_times import Span

YEAR_2024 = Span(datetime(2024, 1, 1, tzinfo=UTC).timestamp(), datetime(2025, 1, 1, tzinfo=UTC).timestamp())
OFFICE_ZONE = (
    "BEGIN:VTIMEZONE\nTZID:Office\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0300\nTZOFFSETTO:+0300\n"
    "END:STANDARD\nEND:VTIMEZONE\n"
)
TIMED = "UID:u1\nDTSTART:20240105T100000Z\nDTEND:20240105T120000Z"


def read(*bodies, head="", span=YEAR_2024, zone=None):
    events = "\n".join(f"BEGIN:VEVENT\n{body}\nEND:VEVENT" for body in bodies)
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{head}{events}\nEND:VCALENDAR\n"
    return read_events_ics(text.replace("\n", "\r\n"), "club.ics", span, zone)


def spans(calendar):
    return [(utc_text(event.start_s), utc_text(event.end_s)) for event in calendar.events]


def starts(*bodies, **more):
    return [utc_text(event.start_s) for event in read(*bodies, **more).events]


def test_a_full_event():
    """Summary, first category, scope and UID come through; a comma is part of a name, a line break a blank."""
    body = f"{TIMED}\nSUMMARY:Derby\\,\\n second leg\nCATEGORIES:Big Match,Sports\n"
    body += "X-PLB-ORDER-PARAMS:club\\,7\\; fan-*;club\\,7"
    (event,) = read(body).events
    assert (event.event_id, event.kind, event.name, event.scope) == (
        "u1",
        "big-match",
        "Derby, second leg",
        ("club,7", "fan-*"),
    )
    assert spans(read(body)) == [("2024-01-05T10:00:00Z", "2024-01-05T12:00:00Z")]


def test_a_bare_event():
    """Without summary, category, scope and UID there is a kind, an id derived from the content, and all are concerned."""
    (event,) = read("DTSTART:20240105T100000Z\nDURATION:PT90M").events
    assert (event.kind, event.name, event.scope, event.end_s - event.start_s) == ("event", "", (), 5400)
    assert event.event_id.startswith("event-2024-01-05-")


@pytest.mark.parametrize(
    ("times", "head", "zone", "wanted"),
    [
        ("DTSTART;VALUE=DATE:20241127", "", None, ("2024-11-27T00:00:00Z", "2024-11-28T00:00:00Z")),
        (
            "DTSTART;VALUE=DATE:20241127\nDTEND;VALUE=DATE:20241129",
            "",
            None,
            ("2024-11-27T00:00:00Z", "2024-11-29T00:00:00Z"),
        ),
        ("DTSTART;VALUE=DATE:20241127\nDURATION:P2D", "", None, ("2024-11-27T00:00:00Z", "2024-11-29T00:00:00Z")),
        ("DTSTART;VALUE=DATE:20241103", "", "America/New_York", ("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z")),
        (
            "DTSTART;VALUE=DATE:20241103",
            "X-WR-TIMEZONE:America/New_York\n",
            None,
            ("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"),
        ),
        (
            "DTSTART;VALUE=DATE:20241127",
            "X-WR-TIMEZONE:Asia/Tokyo\n",
            "UTC",
            ("2024-11-27T00:00:00Z", "2024-11-28T00:00:00Z"),
        ),
        ("DTSTART;VALUE=DATE:20241127\nDURATION:P1DT6H", "", None, ("2024-11-27T00:00:00Z", "2024-11-28T06:00:00Z")),
        ("DTSTART:20240701T090000\nDURATION:PT1H", "", "Europe/Berlin", ("2024-07-01T07:00:00Z", "2024-07-01T08:00:00Z")),
        (
            "DTSTART;TZID=Europe/Berlin:20240701T090000\nDTEND;TZID=America/New_York:20240701T040000",
            "",
            None,
            ("2024-07-01T07:00:00Z", "2024-07-01T08:00:00Z"),
        ),
        (
            "DTSTART;TZID=Office:20240701T090000\nDURATION:PT1H",
            OFFICE_ZONE,
            None,
            ("2024-07-01T06:00:00Z", "2024-07-01T07:00:00Z"),
        ),
    ],
)
def test_times(times, head, zone, wanted):
    """Days are local and end as RFC 5545 says; the zone asked for goes before the calendar's, an event's own before both."""
    assert spans(read(f"UID:u1\n{times}", head=head, zone=zone)) == [wanted]


def test_an_hour_stays_the_same_on_the_wall():
    """A weekly event at 9 in New York is at 14:00 UTC before the clocks change, and at 13:00 UTC after it."""
    body = "UID:u1\nDTSTART;TZID=America/New_York:20240303T090000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=3"
    assert spans(read(body)) == [
        ("2024-03-03T14:00:00Z", "2024-03-03T16:00:00Z"),
        ("2024-03-10T13:00:00Z", "2024-03-10T15:00:00Z"),
        ("2024-03-17T13:00:00Z", "2024-03-17T15:00:00Z"),
    ]


def test_a_rule_without_end_is_written_out_inside_the_span():
    """A rule that began decades ago gives the occurrences that touch the span, one that reaches into it included."""
    span = Span(datetime(2024, 3, 1, 1, tzinfo=UTC).timestamp(), datetime(2024, 3, 3, tzinfo=UTC).timestamp())
    body = "UID:u1\nDTSTART:19900101T230000Z\nDURATION:PT3H\nRRULE:FREQ=DAILY"
    assert starts(body, span=span) == ["2024-02-29T23:00:00Z", "2024-03-01T23:00:00Z", "2024-03-02T23:00:00Z"]


def test_the_first_time_counts():
    """DTSTART is an occurrence, also where the rule does not name it: Wednesday 3 January, and the Fridays after it."""
    body = "UID:u1\nDTSTART:20240103T100000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=FR;UNTIL=20240112T235959Z"
    assert [start[:10] for start in starts(body)] == ["2024-01-03", "2024-01-05", "2024-01-12"]


def test_whole_days_recur():
    """A yearly day of 24 December, in local time, with the ends of both days."""
    body = "UID:u1\nDTSTART;VALUE=DATE:20201224\nRRULE:FREQ=YEARLY"
    assert spans(read(body, zone="Europe/Berlin")) == [("2024-12-23T23:00:00Z", "2024-12-24T23:00:00Z")]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20240108T090000Z", "2024-01-08T09:00:00Z"),
        ("20240108T085959Z", "2024-01-07T09:00:00Z"),
        ("20240108", "2024-01-08T09:00:00Z"),
        ("20240108T100000", "2024-01-08T09:00:00Z"),
    ],
)
def test_until_is_inclusive(until, last):
    """UNTIL is read in UTC, as a local time and as a day, and includes an occurrence that begins just then."""
    body = f"UID:u1\nDTSTART;TZID=Europe/Berlin:20240105T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL={until}"
    assert starts(body)[-1] == last


def test_dates_are_added_and_left_out():
    """RDATE adds; EXDATE takes away a time, in any zone, or all of a day."""
    body = (
        "UID:u1\nDTSTART;TZID=Europe/Berlin:20240101T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5\n"
        "RDATE;TZID=Europe/Berlin:20240201T100000\nEXDATE:20240102T090000Z\nEXDATE;VALUE=DATE:20240104"
    )
    assert starts(body) == [f"2024-{day}T09:00:00Z" for day in ("01-01", "01-03", "01-05", "02-01")]


def test_one_occurrence_is_moved_and_one_cancelled():
    """A changed occurrence replaces what the rule gives and keeps its id; a cancelled one is gone."""
    rule = "UID:u1\nDTSTART:20240101T100000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3"
    moved = "UID:u1\nRECURRENCE-ID:20240102T100000Z\nDTSTART:20240102T150000Z\nDURATION:PT1H\nSUMMARY:later"
    gone = "UID:u1\nRECURRENCE-ID:20240103T100000Z\nDTSTART:20240103T100000Z\nDURATION:PT1H\nSTATUS:CANCELLED"
    calendar = read(moved, gone, rule, "UID:u2\nDTSTART:20240101T100000Z\nDURATION:PT1H\nSTATUS:CANCELLED")
    assert [utc_text(event.start_s) for event in calendar.events] == ["2024-01-01T10:00:00Z", "2024-01-02T15:00:00Z"]
    assert [event.event_id for event in calendar.events] == ["u1@2024-01-01T10:00:00Z", "u1@2024-01-02T10:00:00Z"]
    assert set(calendar.index) < set(read(rule).index)


def test_other_components_are_left_alone():
    """To-dos are not events, a calendar without events is empty, and what is not read may be broken."""
    assert len(read(f"{TIMED}\nCREATED:yesterday\nX-WHATEVER:x").events) == 1
    assert read(head="BEGIN:VTODO\nUID:t\nEND:VTODO\n").events == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("UID:u1\nSUMMARY:x", "club.ics: u1: DTSTART: is missing"),
        ("SUMMARY:Derby\nDTSTART:20240105T100000Z", "club.ics: Derby: DTEND: is missing, and DURATION"),
        ("UID:u1\nDTSTART:2024010", "u1: DTSTART: Expected"),
        (
            "UID:u1\nDTSTART;TZID=Mars/Olympus:20240105T100000\nDURATION:PT1H",
            "u1: DTSTART: unknown time zone 'Mars/Olympus'",
        ),
        ("UID:u1\nDTSTART:20240105T100000Z\nDTEND;VALUE=DATE:20240106", "u1: DTEND: must be a date if"),
        ("UID:u1\nDTSTART:20240105T100000Z\nDTEND:20240105T090000Z", "u1: event 'u1': end"),
        ("UID:u1\nDTSTART;VALUE=DATE:20240105\nDTEND;VALUE=DATE:20240105", "u1: event 'u1': end"),
        (f"{TIMED}\nDTSTART:20240106T100000Z", "u1: DTSTART: is there more than once"),
        (f"{TIMED}\nRRULE:FREQ=SECONDLY", "u1: RRULE: FREQ must be one of HOURLY"),
        (f"{TIMED}\nRRULE:FREQ=MINUTELY", "u1: RRULE: FREQ"),
        (f"{TIMED}\nRRULE:COUNT=2", "u1: RRULE: FREQ"),
        (f"{TIMED}\nRRULE:FREQ=FOO", "u1: RRULE: Expected frequency"),
        (f"{TIMED}\nRRULE:FREQ=DAILY;INTERVAL=0", "u1: RRULE: INTERVAL must be"),
        (f"{TIMED}\nRRULE:FREQ=DAILY;COUNT=2;UNTIL=20240301", "u1: RRULE: COUNT and UNTIL"),
        (f"{TIMED}\nRRULE:FREQ=DAILY;BYHOUR=25", "u1: RRULE"),
        (f"{TIMED}\nRRULE:FREQ=HOURLY;BYHOUR=25", "u1: RRULE"),
        (f"{TIMED}\nRRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "u1: RRULE"),
        (f"{TIMED}\nRDATE;VALUE=PERIOD:20240107T100000Z/PT5H", "u1: RDATE: a period"),
        (f"{TIMED}\nEXDATE:2024", "u1: EXDATE: "),
        (f"{TIMED}\nRECURRENCE-ID;RANGE=THISANDFUTURE:20240107T100000Z", "u1: RECURRENCE-ID: a change of this and all"),
        (f"{TIMED}\nX-PLB-ORDER-PARAMS:a\u0007b", "u1: event 'u1': order_params"),
    ],
)
def test_errors_name_the_event(body, said):
    """What cannot be meant, or is beyond the stated limits, is refused with the event's UID or name and the property."""
    with pytest.raises(BadInputError, match=said):
        read(body)


def test_a_uid_belongs_to_one_event():
    """Two events with one UID are refused rather than one of them dropped."""
    with pytest.raises(BadInputError, match="u1: UID: two events have it"):
        read(TIMED, TIMED)


@pytest.mark.parametrize("text", ["", "hello", "BEGIN:VCALENDAR\r\n", "kind,start,end\r\n", "\x00\x01"])
def test_what_is_no_calendar(text):
    """Something else than an iCalendar is refused as such."""
    with pytest.raises(BadInputError, match=r"events club.ics: cannot be read as one iCalendar"):
        read_events_ics(text, "club.ics", YEAR_2024)


def test_occurrences_are_limited(monkeypatch):
    """A rule that gives more events than the limit is refused, and just as many are read."""
    monkeypatch.setattr(events_ics, "EVENTS_MAX", 24)
    assert len(read(f"{TIMED}\nRRULE:FREQ=HOURLY;COUNT=24").events) == 24
    with pytest.raises(BadInputError, match="u1: more than 24 events; ask for a shorter span"):
        read(f"{TIMED}\nRRULE:FREQ=HOURLY;COUNT=25")


def test_the_way_to_the_span_is_limited(monkeypatch):
    """A rule that recurs too often before the span is refused, and one that just gets there is read."""
    body = "UID:u1\nDTSTART:20231231T000000Z\nDURATION:PT1H\nRRULE:FREQ=HOURLY;UNTIL=20240101T000000Z"
    monkeypatch.setattr(events_ics, "RECURRENCES_MAX", 25)
    assert starts(body) == ["2024-01-01T00:00:00Z"]
    monkeypatch.setattr(events_ics, "RECURRENCES_MAX", 24)
    with pytest.raises(BadInputError, match="u1: RRULE: more than 24 recurrences"):
        read(body)
