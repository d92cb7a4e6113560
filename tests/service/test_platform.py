"""Request ids, audit entries, idempotency keys, kept answers and ETags: what holds for every route."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from fake_balancer import NAMES, NOW_S, FakeBalancer
from guarded import Guarded

from plb_ray.domain.audit import AuditQuery
from plb_ray.errors import ControlUnavailableError, NoForecastError, NotReadyError
from service.api.app import create_app
from service.api.messages import Answer
from service.api.platform import Platform
from service.api.repeat_store import FolderRepeats, Kept, MemoryRepeats
from service.api.request_ids import OneRequestId
from service.auth.roles import Role

EVENT = {"kind": "match", "name": "Derby", "start": "2013-11-28T00:00:00Z", "end": "2013-11-28T02:00:00Z"}


class Clock:
    now_s = NOW_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://plb")


async def entries(balancer):
    """Return what is in the audit log, oldest first."""
    return (await balancer.audit_log(AuditQuery()))[::-1]


# Request ids


async def test_the_callers_id_comes_back(http):
    """An id that the caller gives is taken over; without one, or with an unusable one, each request gets its own."""
    assert (await http.get("/healthz", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
    made = {
        (await http.get("/healthz", headers={"X-Request-Id": each})).headers["x-request-id"]
        for each in ("", "a b", "x" * 129)
    }
    assert len(made) == 3
    assert all(len(each) == 16 for each in made)


@pytest.mark.parametrize(
    ("given", "kept"), [(["abc-1"], True), (["abc-1", "abc-2"], True), ([], False), (["a b"], False), (["x" * 129], False)]
)
async def test_before_serve_each_request_gets_one_id(given, kept):
    """Serve puts the id that it finds into the answer: it finds the caller's first one, or a new one if that is unusable."""
    seen = []

    async def serve(scope, _receive, _send):
        seen.extend(scope["headers"])

    headers = [(b"host", b"plb"), *((b"x-request-id", each.encode()) for each in given)]
    await OneRequestId(serve, make=lambda: "made")({"type": "http", "headers": headers}, None, None)
    assert seen == [(b"host", b"plb"), (b"x-request-id", b"abc-1" if kept else b"made")]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/allocations?limit=0", "/dashboard/style.css", "/v1/status"])
async def test_every_answer_has_an_id(http, balancer, path):
    """Errors, files and failures of ours as well."""
    balancer.failing["status"] = RuntimeError("bug")
    response = await http.get(path, headers={"X-Request-Id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"


# Audit


async def test_who_changed_what_is_noted(tmp_path, balancer):
    """The name and role of the caller, what the table calls it, what was acted upon, and the request's id."""
    guarded = Guarded(tmp_path, balancer)
    async with guarded.client(Role.OPERATOR, **{"X-Request-Id": "abc-1"}) as http:
        await http.post("/v1/events", json=EVENT)
        await http.delete("/v1/events/cup-final")
        owner = balancer.placements.placements["LGA-ATL"].owner
        other = next(each for each in ("shard-1", "shard-2") if each != owner)
        await http.post("/v1/migrations", json={"order_param": "LGA-ATL", "destination": other, "request_id": "a/b"})
    noted = [(each.who, each.role, each.action, each.target, each.outcome) for each in await entries(balancer)]
    assert noted == [
        ("operator", "operator", "event.put", "", "done"),
        ("operator", "operator", "event.remove", "cup-final", "done"),
        ("operator", "operator", "migration.start", "a/b", "done"),
    ]
    assert {(each.at_s, each.detail) for each in await entries(balancer)} == {(NOW_S, "request abc-1")}


async def test_what_failed_and_what_was_not_allowed_is_noted(tmp_path, balancer):
    """With the reason code. A wrong credential is not, since nobody is known to have shown it, nor what changes nothing."""
    guarded = Guarded(tmp_path, balancer)
    async with guarded.client(Role.VIEWER) as http:
        await http.delete("/v1/events/cup-final")
        await http.get("/v1/tokens")
        await http.post("/v1/plans:dry-run")
    async with guarded.client(Role.OPERATOR) as http:
        await http.delete("/v1/events/none")
    async with guarded.client() as http:
        await http.delete("/v1/events/cup-final")
    noted = [(each.who, each.action, each.target, each.outcome) for each in await entries(balancer)]
    assert noted == [
        ("viewer", "event.remove", "cup-final", "403 FORBIDDEN"),
        ("operator", "event.remove", "none", "404 UNKNOWN_EVENT"),
    ]


async def test_a_login_and_a_token_are_noted_without_their_secrets(tmp_path, balancer):
    """Who logged in, and for whom a token was made; never what they showed or got."""
    guarded = Guarded(tmp_path, balancer)
    async with guarded.client() as http:
        await http.post("/v1/session", json={"token": guarded.tokens[Role.VIEWER]})
    async with guarded.client(Role.ADMIN) as http:
        made = (await http.post("/v1/tokens", json={"name": "new", "role": "viewer"})).json()
        await http.delete(f"/v1/tokens/{made['token_id']}")
    noted = [(each.who, each.action, each.target) for each in await entries(balancer)]
    assert noted == [
        ("viewer", "session.begin", ""),
        ("admin", "token.create", made["token_id"]),
        ("admin", "token.revoke", made["token_id"]),
    ]
    assert made["token"].split("_", 2)[2] not in repr(await entries(balancer))


async def test_pushed_samples_are_not_noted_unless_refused(http, balancer):
    """They come every few seconds for ever; noting each would drown what people do."""
    samples = {"samples": [{"order_param": "a", "at": NOW_S - 1200, "value": 1.0}]}
    assert (await http.post("/v1/history/samples", json=samples)).status_code == 200
    assert (await http.post("/v1/history/samples", json={})).status_code == 422
    assert [(each.action, each.outcome) for each in await entries(balancer)] == [("samples.push", "422 INVALID_REQUEST")]


async def test_an_audit_log_that_cannot_be_written_hides_no_answer(http, balancer, caplog):
    """The change has happened, so the caller is told so; the entry goes to the service's log."""
    balancer.failing["note"] = ControlUnavailableError("restarting")
    assert (await http.delete("/v1/events/cup-final")).status_code == 200
    assert "event.remove" in caplog.text


async def test_a_bug_in_a_route_is_noted(http, balancer):
    """What broke off may have changed something: the log says that it was tried."""
    balancer.failing["remove_event"] = RuntimeError("bug")
    assert (await http.delete("/v1/events/cup-final")).status_code == 500
    assert [each.outcome for each in await entries(balancer)] == ["500"]


# Idempotency keys


@pytest.fixture(params=["memory", "folder"])
def repeats(request, tmp_path):
    return MemoryRepeats() if request.param == "memory" else FolderRepeats(tmp_path / "repeats")


async def begin(repeats, asked, at_s):
    return await repeats.begin("p", Kept(asked, at_s), not_before_s=at_s - 100, stuck_s=at_s - 10)


async def test_the_store_keeps_the_first(repeats):
    """Of several at once one is first; the others get it, without an answer and then with it, until it is too old."""
    found = await asyncio.gather(*(begin(repeats, "a", 1000.0) for _ in range(100)))
    assert found.count(None) == 1
    assert {each.answer for each in found if each} == {None}
    answer = Answer(202, [(b"location", "/é".encode("latin-1"))], b"\x00{}")
    await repeats.end("p", Kept("a", 1000.0, answer))
    present = await begin(repeats, "b", 1100.0)
    assert (present.asked, present.answer) == ("a", answer)
    assert await begin(repeats, "b", 1100.1) is None


async def test_the_store_frees_what_is_stuck_and_what_is_forgotten(repeats):
    """A request without an answer counts for a while only: its process may be dead."""
    await begin(repeats, "a", 1000.0)
    assert (await begin(repeats, "b", 1009.0)).asked == "a"
    assert await begin(repeats, "b", 1011.0) is None
    await repeats.forget("p")
    assert await begin(repeats, "c", 1011.0) is None


async def test_the_folder_outlives_the_process_and_is_its_owners(tmp_path):
    """A restarted service answers as before; others cannot read what it has answered; a damaged file counts as none."""
    folder = tmp_path / "repeats"
    first = FolderRepeats(folder)
    await begin(first, "a", 1000.0)
    await first.end("p", Kept("a", 1000.0, Answer(200, [], b"x")))
    assert (await begin(FolderRepeats(folder), "b", 1001.0)).answer.body == b"x"
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "p.json").write_text("{")
    assert await begin(FolderRepeats(folder), "b", 1001.0) is None
    assert [path.name for path in folder.iterdir()] == ["p.json"]


@pytest.fixture
def keyed(balancer, repeats, clock):
    return create_app(balancer, now_s=clock, platform=Platform(repeats=repeats))


async def test_the_same_request_again_gets_the_same_answer(keyed, balancer, clock):
    """The same key and body: the first answer, marked, and nothing is done again; after a day it is a new request."""
    headers = {"Idempotency-Key": "k-1"}
    async with client_of(keyed) as http:
        first = await http.post("/v1/events", json=EVENT, headers=headers)
        balancer.calendar = balancer.calendar.without(first.json()["event_id"])
        again = await http.post("/v1/events", json=EVENT, headers=headers)
        assert first.json()["event_id"] not in balancer.calendar.index
        clock.now_s += 86_401
        anew = await http.post("/v1/events", json=EVENT, headers=headers)
    assert (again.status_code, again.json(), again.headers["content-type"]) == (
        200,
        first.json(),
        first.headers["content-type"],
    )
    assert [each.headers.get("idempotency-replayed") for each in (first, again, anew)] == [None, "true", None]
    assert first.json()["event_id"] in balancer.calendar.index
    assert [each.outcome for each in await entries(balancer)] == ["done", "repeated", "done"]


async def test_another_request_with_the_same_key_is_a_conflict(keyed):
    """A key stands for one request; of another path or caller it is another key."""
    headers = {"Idempotency-Key": "k-1"}
    async with client_of(keyed) as http:
        await http.post("/v1/events", json=EVENT, headers=headers)
        other = await http.post("/v1/events", json={**EVENT, "name": "Final"}, headers=headers)
        import_ = await http.post("/v1/events:import", json={"items": []}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert import_.status_code == 200


async def test_a_request_that_still_runs_is_not_started_again(keyed, balancer):
    """The second is told to come back; when the first is done it gets its answer."""
    began, go_on = asyncio.Event(), asyncio.Event()
    put = balancer.put_events

    async def slowly(events):
        began.set()
        await go_on.wait()
        return await put(events)

    balancer.put_events = slowly
    headers = {"Idempotency-Key": "k-1"}
    async with client_of(keyed) as http:
        first = asyncio.create_task(http.post("/v1/events", json=EVENT, headers=headers))
        await began.wait()
        second = await http.post("/v1/events", json=EVENT, headers=headers)
        go_on.set()
        await first
        third = await http.post("/v1/events", json=EVENT, headers=headers)
    assert second.status_code == 409
    assert (second.json()["reason"], second.headers["retry-after"]) == ("IDEMPOTENCY_IN_PROGRESS", "1")
    assert third.headers["idempotency-replayed"] == "true"


async def test_what_may_be_repeated_is_not_kept(keyed, balancer):
    """After "try again" the next one is a first one."""
    balancer.failing["put_events"] = ControlUnavailableError("restarting")
    headers = {"Idempotency-Key": "k-1"}
    async with client_of(keyed) as http:
        assert (await http.post("/v1/events", json=EVENT, headers=headers)).status_code == 503
        balancer.failing["put_events"] = RuntimeError("bug")
        assert (await http.post("/v1/events", json=EVENT, headers=headers)).status_code == 500
        del balancer.failing["put_events"]
        assert (await http.post("/v1/events", json=EVENT, headers=headers)).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "é"])
async def test_an_unusable_key_is_refused(keyed, key):
    """Rather than to be left out and do things twice."""
    async with client_of(keyed) as http:
        response = await http.post("/v1/events", json=EVENT, headers={"Idempotency-Key": key.encode()})
    assert (response.status_code, response.json()["reason"]) == (400, "BAD_INPUT")


# Kept answers and ETags


@pytest.fixture
def kept(balancer, clock):
    return create_app(balancer, now_s=clock, platform=Platform(snapshot_s=1.0, monotonic_s=clock))


def counting(balancer, method):
    asked, original = [], getattr(balancer, method)

    async def counted(*args):
        asked.append(args)
        await asyncio.sleep(0)
        return await original(*args)

    setattr(balancer, method, counted)
    return asked


async def test_the_loop_is_asked_once_and_not_once_per_request(kept, balancer, clock):
    """Within a second everybody gets the same answer, those who ask at the same time as well; then it is asked anew."""
    asked = counting(balancer, "status")
    async with client_of(kept) as http:
        answers = await asyncio.gather(*(http.get("/v1/status") for _ in range(20)))
        await http.get("/v1/status")
        assert len(asked) == 1
        assert len({each.content for each in answers}) == 1
        clock.now_s += 1.0
        balancer.status_now = replace(balancer.status_now, ticks=86)
        assert (await http.get("/v1/status")).json()["ticks"] == 86
    assert len(asked) == 2


async def test_other_questions_have_other_answers(kept):
    """The path and its parameters tell them apart."""
    async with client_of(kept) as http:
        pages = [
            (await http.get(f"/v1/allocations?limit=1&offset={n}")).json()["items"][0]["order_param"] for n in (0, 1, 0)
        ]
    assert pages[0] == pages[2] != pages[1]


async def test_a_change_shows_at_once(kept):
    """Whoever changes something sees it in the next answer."""
    async with client_of(kept) as http:
        before = (await http.get("/v1/events")).json()["items"]
        await http.delete("/v1/events/cup-final")
        after = (await http.get("/v1/events")).json()["items"]
    assert len(after) == len(before) - 1


async def test_what_was_read_before_a_change_is_not_kept_after_it(kept, balancer):
    """A slow read that overlaps a change does not bring the old state back."""
    go_on = asyncio.Event()
    calendar = balancer.calendar

    async def slowly():
        await go_on.wait()
        return calendar

    read, balancer.events = balancer.events, slowly
    async with client_of(kept) as http:
        early = asyncio.create_task(http.get("/v1/events"))
        await asyncio.sleep(0.01)
        await http.delete("/v1/events/cup-final")
        go_on.set()
        await early
        balancer.events = read
        assert len((await http.get("/v1/events")).json()["items"]) == 1


async def test_failures_are_not_kept(kept, balancer):
    """The next one asks again."""
    balancer.failing["status"] = ControlUnavailableError("restarting")
    async with client_of(kept) as http:
        assert (await http.get("/v1/status")).status_code == 503
        del balancer.failing["status"]
        assert (await http.get("/v1/status")).status_code == 200


async def test_one_who_goes_away_takes_nothing_from_the_others(kept, balancer):
    """When the one on whose behalf the loop is asked gives up, the next in line asks."""
    began, go_on = asyncio.Event(), asyncio.Event()
    original = balancer.status

    async def slowly():
        began.set()
        await go_on.wait()
        return await original()

    balancer.status = slowly
    async with client_of(kept) as http:
        first = asyncio.create_task(http.get("/v1/status"))
        await began.wait()
        second = asyncio.create_task(http.get("/v1/status"))
        await asyncio.sleep(0.01)
        first.cancel()
        go_on.set()
        assert (await second).status_code == 200


@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/metrics", "/v1/session"])
async def test_what_must_be_true_now_is_never_kept(kept, balancer, path):
    """Health, readiness, metrics and logins are asked for anew each time and have no ETag."""
    asked = counting(balancer, "status")
    async with client_of(kept) as http:
        answers = [await http.get(path) for _ in range(2)]
    assert not any("etag" in each.headers for each in answers)
    assert len(asked) in {0, 2}


async def test_an_unchanged_answer_is_304(http, balancer):
    """With the ETag of what is known there is no body; when the answer changes there is one, with another ETag."""
    first = await http.get("/v1/status")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await http.get("/v1/status", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await http.get("/v1/status", headers={"If-None-Match": '"other"'})).status_code == 200
    balancer.status_now = replace(balancer.status_now, ticks=86)
    changed = await http.get("/v1/status", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_two_applications_keep_apart(balancer, clock):
    """Answers are kept by an application for itself."""
    other = FakeBalancer()
    other.status_now = replace(other.status_now, ticks=1)
    apps = [create_app(each, platform=Platform(snapshot_s=1.0, monotonic_s=clock)) for each in (balancer, other)]
    ticks = []
    for app in apps:
        async with client_of(app) as http:
            ticks.append((await http.get("/v1/status")).json()["ticks"])
    assert ticks == [85, 1]


async def test_large_pictures_are_brought_once_for_many_questions(kept, balancer, clock):
    """Pages, searches and single order params are made of one table until the next look; a failure is not kept."""
    asked = counting(balancer, "order_params")
    balancer.failing["order_params"] = ControlUnavailableError("restarting")
    async with client_of(kept) as http:
        assert (await http.get("/v1/order-params?limit=1")).status_code == 503
        del balancer.failing["order_params"]
        paths = [f"/v1/order-params?limit=1&offset={n}" for n in range(5)] + ["/v1/order-params/a//b"]
        answers = await asyncio.gather(*(http.get(path) for path in paths))
        assert {each.status_code for each in answers} == {200}
        assert len(asked) == 2
        await http.delete("/v1/events/cup-final")
        clock.now_s += 1.0
        await http.get("/v1/order-params?limit=2")
        assert len(asked) == 2
        balancer.ticks += 1
        await http.get("/v1/order-params?limit=3")
        assert len(asked) == 2
        clock.now_s += 1.0
        await http.get("/v1/order-params?limit=4")
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("path", "many", "single"),
    [
        ("/v1/forecasts/{}", "forecasts", "forecast"),
        ("/v1/forecasts/{}", "histories", "history"),
        ("/v1/order-params/{}", "costs_of", "cost"),
    ],
)
async def test_order_params_are_asked_for_in_blocks(kept, balancer, clock, path, many, single):
    """However many order params are looked at, the loop is asked once until the next look, and answers as for one alone."""
    names = [quote(name, safe="") for name in NAMES]
    alone = create_app(balancer, now_s=clock, platform=Platform())
    async with client_of(alone) as http:
        expected = [(await http.get(path.format(name))).content for name in names]
    asked_many, asked_single = counting(balancer, many), []
    setattr(balancer, single, lambda *args: asked_single.append(args) or None)
    async with client_of(kept) as http:
        assert [(await http.get(path.format(name))).content for name in names] == expected
        clock.now_s += 5.0
        await http.get(path.format(names[0]))
        assert (len(asked_many), asked_single) == (1, [])
        balancer.ticks += 1
        clock.now_s += 1.0
        await http.get(path.format(names[0]))
    assert len(asked_many) == 2


async def test_what_stands_in_no_block_is_asked_for_by_itself(kept, balancer):
    """An order param that is not placed, and a history that is long, are asked for as they are."""
    forecasts, histories = counting(balancer, "forecast"), counting(balancer, "history")
    async with client_of(kept) as http:
        assert (await http.get("/v1/forecasts/nobody")).status_code == 404
        assert len((await http.get("/v1/forecasts/JFK-LAX?history_steps=1000")).json()["history"]) == 1000
    assert (forecasts, histories) == ([("nobody", "short")], [("nobody", 144), ("JFK-LAX", 1000)])


async def test_before_the_first_look_errors_are_those_of_the_loop(kept, balancer):
    """While there is no table a forecast is asked for by itself, and what the loop says of it is the answer."""
    balancer.failing["order_params"] = NotReadyError("no look yet")
    balancer.failing["forecast"] = NoForecastError("no forecast yet")
    async with client_of(kept) as http:
        assert (await http.get("/v1/forecasts/JFK-LAX")).json()["detail"] == "no forecast yet"
