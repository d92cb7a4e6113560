from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from fake_balancer import NOW_S

from plb_ray.domain.events import EventCalendar
from plb_ray.errors import BadInputError, OutcomeUnknownError
from service.api import calendar_routes, examples

PUT = {"kind": "Campaign", "name": "Sale ☕", "start": "2026-05-30T20:00:00+02:00", "end": "2026-05-30T21:00:00Z"}
CSV = {"Content-Type": "text/csv"}
ROWS = "kind,start,end,order_params\nmatch,2014-11-26T10:00,2014-11-26T12:00,a;b*\n"
WEEKLY = (
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:weekly\r\nDTSTART;TZID=Europe/Berlin:20100104T020000\r\nDURATION:PT1H\r\n"
    "RRULE:FREQ=WEEKLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


async def test_the_calendar_comes_in_the_order_of_time(http):
    """Every event has its times in UTC and its scope; all order params are an empty list."""
    items = (await http.get("/v1/events")).json()["items"]
    assert [(item["event_id"], item["start"], item["order_params"]) for item in items] == [
        ("thanksgiving", "2013-11-27T05:00:00Z", []),
        ("cup-final", "2013-11-27T15:00:00Z", ["tenant/7/*", "JFK-LAX"]),
    ]


async def test_put_one_event(http, balancer):
    """An event is kept as it is answered: kind as a word, times in UTC, an id of its content; a repeat is the same event."""
    answers = [(await http.post("/v1/events", json=PUT)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert (answers[0]["kind"], answers[0]["start"]) == ("campaign", "2026-05-30T18:00:00Z")
    assert answers[0]["event_id"].startswith("campaign-2026-05-30-")
    assert (await http.get("/v1/events")).json()["items"][-1] == answers[0]
    assert len(balancer.calendar.events) == 3


async def test_an_id_is_replaced(http, balancer):
    """Putting an event with the id of another takes its place."""
    await http.post("/v1/events", json=PUT | {"event_id": "cup-final", "order_params": ["x"]})
    assert balancer.calendar.index["cup-final"].scope == ("x",)
    assert len(balancer.calendar.events) == 2


@pytest.mark.parametrize("event_id", ["plain", "op/7//x?y#z%", "weekly@2026-01-05T01:00:00Z"])
async def test_remove(http, balancer, event_id):
    """An event is removed by its id, whatever it holds, and answered; a second time it is unknown."""
    await http.post("/v1/events", json=PUT | {"event_id": event_id})
    url = f"/v1/events/{quote(event_id, safe='')}"
    removed = await http.delete(url)
    assert (removed.status_code, removed.json()["event_id"]) == (200, event_id)
    assert event_id not in balancer.calendar.index
    again = await http.delete(url)
    assert (again.status_code, again.json()["reason"]) == (404, "UNKNOWN_EVENT")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"end": "2026-05-30T18:00:00Z"}, 400, "end: 2026-05-30T18:00:00Z is not after the start"),
        ({"kind": " "}, 400, "kind: '' is not"),
        ({"event_id": ""}, 400, "event_id: must have"),
        ({"order_params": [""]}, 400, "order_params: '' is neither"),
        ({"start": "2026-05-30T20:00:00"}, 422, "body.start"),
        ({"start": "soon"}, 422, "body.start"),
        ({"order_param": ["a"]}, 422, "body.order_param"),
    ],
)
async def test_bad_events(http, balancer, change, status, said):
    """What cannot be meant is refused with the field, and the calendar stays as it is."""
    before = balancer.calendar
    response = await http.post("/v1/events", json=PUT | change)
    assert response.status_code == status
    assert said in response.json()["detail"]
    assert balancer.calendar == before


async def test_import_csv(http, balancer):
    """A table is imported with the zone asked for, counted, and imported again without effect."""
    answers = [
        (await http.post("/v1/events:import?zone=America/New_York", content=ROWS, headers=CSV)).json() for _ in range(2)
    ]
    assert answers == [{"added": 1, "changed": 0, "unchanged": 0}, {"added": 0, "changed": 0, "unchanged": 1}]
    event = balancer.calendar.events[-1]
    assert (event.start_s % 86_400, event.scope) == (15 * 3600, ("a", "b*"))


@pytest.mark.parametrize(("query", "weeks"), [("?from=2014-01-01T00:00Z&to=2014-01-15T00:00Z", 2), ("", 156)])
async def test_import_icalendar(http, balancer, query, weeks):
    """A rule is written out inside the span asked for, by default from a year before now to two years after it."""
    headers = {"Content-Type": "text/calendar; charset=utf-8"}
    assert (await http.post(f"/v1/events:import{query}", content=WEEKLY, headers=headers)).json()["added"] == weeks
    starts = [event.start_s for event in balancer.calendar.events if event.event_id.startswith("weekly@")]
    if not query:
        assert starts[0] < NOW_S - 359 * 86_400
        assert starts[-1] > NOW_S + 2 * 359 * 86_400


async def test_the_answer_can_be_imported(http, balancer):
    """What GET answers is a calendar that can be put back."""
    calendar = (await http.get("/v1/events")).text
    balancer.calendar = EventCalendar()
    headers = {"Content-Type": "application/json"}
    assert (await http.post("/v1/events:import", content=calendar, headers=headers)).json()["added"] == 2
    assert (await http.get("/v1/events")).text == calendar


@pytest.mark.parametrize("media", examples.CALENDAR_FILES)
async def test_documented_calendars_can_be_imported(http, media):
    """The examples of import bodies are calendars with at least one event."""
    span = {"from": "2026-01-01T00:00Z", "to": "2027-01-01T00:00Z"}
    body, headers = examples.CALENDAR_FILES[media], {"Content-Type": media}
    response = await http.post("/v1/events:import", params=span, content=body, headers=headers)
    assert response.json()["added"] >= 1, response.text


@pytest.mark.parametrize(
    ("query", "media", "body", "said"),
    [
        ("", "text/csv", ROWS + "match,soon,,\n", "events (body): line 3: start: 'soon'"),
        ("", "text/csv", b"\xff", "is not UTF-8"),
        ("", "text/calendar", "hello", "cannot be read as one iCalendar"),
        ("", "application/json", "{", "events (body): (top)"),
        ("", "text/plain", ROWS, "Content-Type 'text/plain' is no calendar; send one of text/csv"),
        ("?zone=Mars", "text/csv", ROWS, "unknown time zone 'Mars'"),
        ("?from=2014-01-02T00:00Z&to=2014-01-01T00:00Z", "text/csv", ROWS, "from is not before to"),
    ],
)
async def test_bad_calendars(http, balancer, query, media, body, said):
    """A calendar of which any part cannot be meant is refused as a whole, with the place."""
    before = balancer.calendar
    response = await http.post(f"/v1/events:import{query}", content=body, headers={"Content-Type": media})
    assert (response.status_code, response.json()["reason"]) == (400, "BAD_INPUT")
    assert said in response.json()["detail"]
    assert balancer.calendar == before


async def test_a_calendar_too_large(http, balancer, monkeypatch):
    """A body above the limit is refused; one of just that size is read."""
    monkeypatch.setattr(calendar_routes, "BODY_BYTES_MAX", len(ROWS))
    assert (await http.post("/v1/events:import", content=ROWS, headers=CSV)).status_code == 200
    refused = await http.post("/v1/events:import", content=ROWS + "\n", headers=CSV)
    assert "send it in parts" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("method", "ask"),
    [
        ("events", lambda http: http.get("/v1/events")),
        ("put_events", lambda http: http.post("/v1/events", json=PUT)),
        ("put_events", lambda http: http.post("/v1/events:import", content=ROWS, headers=CSV)),
        ("remove_event", lambda http: http.delete("/v1/events/cup-final")),
    ],
)
@pytest.mark.parametrize(("error", "status"), [(BadInputError("damaged"), 400), (OutcomeUnknownError("silent"), 503)])
async def test_errors_of_the_balancer(http, balancer, method, ask, error, status):
    """A calendar that is damaged, or a control loop that went silent, is a problem document on every route."""
    balancer.failing[method] = error
    response = await ask(http)
    assert (response.status_code, response.json()["reason"]) == (status, error.reason)


def test_schemas_agree_with_the_file(app):
    """The fields of the API's events are those of the calendar's file, in its order."""
    fields = list(app.openapi()["components"]["schemas"]["Event"]["properties"])
    assert fields == list(json.loads(examples.CALENDAR_FILES["application/json"])["items"][0])
