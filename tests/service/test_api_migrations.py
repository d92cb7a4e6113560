from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from fake_balancer import NOW_S

from plb_ray.domain.migration import MigrationMode, MigrationStep
from plb_ray.errors import BadInputError, ControlUnavailableError, OutcomeUnknownError
from service.api import event_stream
from service.local_http import serving

RUNNING = "85-JFK-ATL"
FOLLOW = {"Accept": "text/event-stream"}


def parsed(text):
    """Return the events of a stream as (event, id, data); comments and `retry` are left out."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]
    return [(each["event"], each.get("id"), json.loads(each["data"])) for each in blocks if "data" in each]


@pytest.fixture
def script(app):
    """Between two looks of a follower the next action of this list is done; when there is none left, nothing happens."""
    actions = []

    async def sleep(seconds):
        assert seconds == event_stream.POLL_S
        if actions:
            actions.pop(0)()

    app.state.sleep = sleep
    return actions


def to_the_end(balancer, *steps):
    """Return the actions that take the running migration through these steps and to DONE."""
    return [
        *(lambda step=step: balancer.advance(RUNNING, step=step) for step in steps),
        lambda: balancer.advance(RUNNING, step=MigrationStep.DONE, finished_s=NOW_S + 1, pause_ms=9.5),
    ]


# ---- one migration


async def test_timeline_has_every_step(http, balancer):
    """A migration shows when it reached each step and what it had copied then, failure and rollback included."""
    balancer.advance(RUNNING, step=MigrationStep.PAUSED, messages_copied=500, lag_messages=3, eta_s=0.25)
    balancer.advance(RUNNING, error="at paused: no answer")
    balancer.advance(RUNNING, step=MigrationStep.ABORTED, pause_ms=12.5, finished_s=NOW_S, eta_s=None)
    found = (await http.get(f"/v1/migrations/{RUNNING}")).json()
    assert (found["step"], found["finished"], found["mode"], found["lag_messages"]) == ("aborted", True, "copy", 3)
    assert [(each["step"], each["error"]) for each in found["timeline"]] == [
        ("precopied", ""),
        ("paused", ""),
        ("paused", "at paused: no answer"),
        ("aborted", "at paused: no answer"),
    ]
    paused = found["timeline"][1]
    assert (paused["messages_copied"], paused["lag_messages"], paused["eta_s"], paused["pause_ms"]) == (500, 3, 0.25, None)
    assert paused["at"] == "2013-11-27T14:00:00Z"


async def test_a_time_that_was_not_noted_is_null(http):
    """Records of releases that did not note when a step was reached have null there, not the year 1970."""
    found = (await http.get(f"/v1/migrations/{RUNNING}")).json()
    assert (found["at"], found["timeline"][0]["at"]) == (None, None)


async def test_an_old_migration_is_found(http, balancer):
    """A migration is found by its id however many came after it."""
    template = balancer.records[-1]
    balancer.records += [replace(template, migration_id=f"old-{number}") for number in range(1500)]
    assert (await http.get("/v1/migrations/old-1499")).json()["migration_id"] == "old-1499"


@pytest.mark.parametrize("mode", ["copy", "chain"])
async def test_the_mode_is_passed_on(http, balancer, mode):
    """A start in either mode reaches the balancer in that mode, and the answer shows it."""
    body = {"order_param": "LGA-ATL", "destination": "shard-2", "mode": mode}
    answer = await http.post("/v1/migrations", json=body)
    assert (answer.status_code, answer.json()["mode"], balancer.requests[0].mode) == (202, mode, MigrationMode(mode))


async def test_unknown_modes_are_refused(http, balancer):
    """A mode that does not exist is named with those that do, and starts nothing."""
    body = {"order_param": "LGA-ATL", "destination": "shard-2", "mode": "teleport"}
    answer = await http.post("/v1/migrations", json=body)
    assert (answer.status_code, answer.json()["reason"], balancer.requests) == (422, "INVALID_REQUEST", [])
    assert "'copy' or 'chain'" in answer.json()["detail"]


# ---- cancelling


async def test_cancelling_rolls_back_and_may_be_repeated(http):
    """Cancelling answers with the rolled back migration; once more, with the same."""
    answers = [await http.post(f"/v1/migrations/{RUNNING}/cancel") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["step"], answers[0].json()["error"]) == ("aborted", "at precopied: cancelled on request")


@pytest.mark.parametrize("step", [MigrationStep.SEALED, MigrationStep.DONE])
async def test_past_the_commit_point_nothing_is_cancelled(http, balancer, step):
    """A committed migration is not undone: 409, with what can be done instead."""
    balancer.advance(RUNNING, step=step)
    answer = await http.post(f"/v1/migrations/{RUNNING}/cancel")
    assert (answer.status_code, answer.json()["reason"]) == (409, "MIGRATION_CONFLICT")
    assert "migrate 'JFK-ATL' back" in answer.json()["detail"]


async def test_cancelling_what_is_unknown(http, balancer):
    """An unknown id is 404; a cancel whose outcome nobody knows is 503 with Retry-After."""
    answer = await http.post("/v1/migrations/never/cancel")
    assert (answer.status_code, answer.json()["reason"]) == (404, "UNKNOWN_MIGRATION")
    balancer.failing["cancel"] = OutcomeUnknownError("went silent")
    answer = await http.post(f"/v1/migrations/{RUNNING}/cancel")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


# ---- following


async def test_events_follow_to_the_end(http, balancer, script):
    """The stream tells every step in order with its number, and ends after the last one."""
    script += to_the_end(balancer, MigrationStep.PAUSED, MigrationStep.SEALED)
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = parsed(answer.text)
    assert [(name, number, data["step"]) for name, number, data in events] == [
        ("step", "1", "precopied"),
        ("step", "2", "paused"),
        ("step", "3", "sealed"),
        ("step", "4", "done"),
    ]
    assert (events[-1][2]["pause_ms"], events[-1][2]["finished"]) == (9.5, True)


async def test_steps_between_two_looks_are_not_missed(http, balancer, script):
    """Several steps that pass between two looks are all told, in order."""

    def at_once():
        for action in to_the_end(balancer, MigrationStep.PAUSED, MigrationStep.SEALING, MigrationStep.MAPPED):
            action()

    script.append(at_once)
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    assert [data["step"] for _, _, data in parsed(answer.text)] == ["precopied", "paused", "sealing", "mapped", "done"]


async def test_progress_is_told_between_steps(http, balancer, script):
    """What was copied since the step is told without a number, and once only."""
    further = replace(balancer.records[0], messages_copied=999, lag_messages=1, eta_s=0.1)
    script += [lambda: balancer.progress.update({RUNNING: further}), lambda: None, *to_the_end(balancer)]
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    told = [(name, number, data["messages_copied"]) for name, number, data in parsed(answer.text)]
    assert told == [("step", "1", 412), ("progress", None, 999), ("step", "2", 412)]


async def test_a_broken_connection_goes_on_where_it_was(http, balancer, script):
    """With Last-Event-ID only what came after is told; when nothing can follow any more the answer is 204."""
    balancer.advance(RUNNING, step=MigrationStep.PAUSED)
    script += to_the_end(balancer)
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers={**FOLLOW, "Last-Event-ID": "1"})
    assert [(number, data["step"]) for _, number, data in parsed(answer.text)] == [("2", "paused"), ("3", "done")]
    for known in ("3", "99"):
        answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers={**FOLLOW, "Last-Event-ID": known})
        assert (answer.status_code, answer.content) == (204, b"")
    for wrong in ("-1", "x"):
        answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers={**FOLLOW, "Last-Event-ID": wrong})
        assert answer.status_code == 422


async def test_followers_outlive_a_restart_of_the_control_loop(http, balancer, script):
    """A control loop that is away for a while is waited for, and nothing is missed."""
    away = ControlUnavailableError("the control loop is restarting")
    script += [lambda: balancer.failing.update({"migration": away}), lambda: None, balancer.failing.clear]
    script += to_the_end(balancer)
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    assert [data["step"] for _, _, data in parsed(answer.text)] == ["precopied", "done"]


@pytest.mark.parametrize(
    "error", [ControlUnavailableError("gone for good"), BadInputError("no")], ids=lambda error: error.reason
)
async def test_a_stream_that_cannot_go_on_says_why(http, balancer, script, error):
    """When the control loop stays away, or refuses, the last event is a problem document."""
    script.append(lambda: balancer.failing.update({"migration": error}))
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    name, number, problem = parsed(answer.text)[-1]
    assert (name, number, problem["reason"], problem["detail"]) == ("problem", None, error.reason, str(error))


async def test_a_quiet_stream_is_kept_alive(http, balancer, script):
    """Where nothing happens for long, comments keep proxies from closing the connection."""
    looks = round(event_stream.KEEP_ALIVE_S / event_stream.POLL_S)
    script += [lambda: None] * (2 * looks) + to_the_end(balancer)
    answer = await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    assert answer.text.count(": still there\n\n") == 2


async def test_following_what_is_unknown(http):
    """An unknown id is 404 before anything is streamed."""
    answer = await http.get("/v1/migrations/never/events", headers=FOLLOW)
    assert (answer.status_code, answer.json()["reason"]) == (404, "UNKNOWN_MIGRATION")


async def test_an_id_that_ends_with_events(http, balancer, script):
    """The id of an order param called a/events is read as it is, and its events are told to who asks for events."""
    balancer.records.insert(0, replace(balancer.records[0], migration_id="86-a/events"))
    balancer.records.insert(0, replace(balancer.records[0], migration_id="86-a", step=MigrationStep.DONE))
    assert (await http.get("/v1/migrations/86-a/events")).json()["migration_id"] == "86-a/events"
    followed = await http.get("/v1/migrations/86-a/events", headers=FOLLOW)
    assert parsed(followed.text)[0][2]["migration_id"] == "86-a"
    script.append(lambda: balancer.advance("86-a/events", step=MigrationStep.DONE))
    followed = await http.get("/v1/migrations/86-a/events/events", headers=FOLLOW)
    assert [data["step"] for _, _, data in parsed(followed.text)] == ["precopied", "done"]


async def test_streams_are_limited(http, balancer, app, monkeypatch):
    """Beyond the cap a follower is asked to come back; a stream that has ended makes room."""
    monkeypatch.setattr(event_stream, "FOLLOWERS_MAX", 1)
    refused = []

    async def sleep(_seconds):
        refused.append(await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW))
        balancer.advance(RUNNING, step=MigrationStep.DONE)

    app.state.sleep = sleep
    assert (await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)).status_code == 200
    assert [(answer.status_code, answer.json()["reason"]) for answer in refused] == [(503, "NOT_READY")]
    assert (await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)).status_code == 200


async def test_a_reader_that_goes_away_is_forgotten(app, balancer):
    """Over a real connection events come as they happen, and closing it makes room."""
    async with serving(app) as url, httpx.AsyncClient(trust_env=False) as http:
        async with http.stream("GET", f"{url}/v1/migrations/{RUNNING}/events", headers=FOLLOW) as answer:
            lines = answer.aiter_lines()
            assert [await anext(lines) for _ in range(4)] == ["retry: 1000", "", "event: step", "id: 1"]
            assert app.state.followers._open == 1
        async with http.stream("GET", f"{url}/v1/migrations/{RUNNING}/events", headers=FOLLOW) as answer:
            balancer.advance(RUNNING, step=MigrationStep.DONE)
            text = "".join([part async for part in answer.aiter_text()])
            assert parsed(text)[-1][2]["step"] == "done"
    assert app.state.followers._open == 0


async def test_metrics_do_not_take_a_stream_for_a_slow_answer(http, balancer, script, monkeypatch):
    """A stream counts under its route, with the time until it began."""
    clock = [0.0]
    monkeypatch.setattr("service.api.metrics.monotonic_s", lambda: clock[0])
    script += [lambda: clock.append(clock.pop() + 100.0), *to_the_end(balancer)]
    await http.get(f"/v1/migrations/{RUNNING}/events", headers=FOLLOW)
    route = 'route="/v1/migrations/{migration_id:path}/events"'
    metrics = (await http.get("/metrics")).text
    assert clock == [100.0]
    assert f'plb_http_requests_total{{method="GET",{route},status="2xx"}} 1.0' in metrics
    assert f"plb_http_request_seconds_sum{{{route}}} 0.0" in metrics
