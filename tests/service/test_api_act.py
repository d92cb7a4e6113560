from __future__ import annotations

from dataclasses import replace

import pytest
from fake_balancer import default_status

from plb_ray.control.views import Mode

START = {"order_param": "LGA-ATL", "destination": "shard-2"}


async def test_latest_plan_has_reasons_bound_and_fate(http):
    """The plan shows each move with its reason and what became of it, the bound and the gap."""
    plan = (await http.get("/v1/plans/latest")).json()
    assert [move["admission"] for move in plan["moves"]] == ["admitted", "mode_forbids"]
    assert plan["moves"][0]["reason"] == "p90 at 14:10 would put shard-3 at 112 % of CPU"
    assert (plan["cost"], plan["bound"], plan["gap"], plan["status"]) == (2.0, 1.0, 0.5, "feasible")
    assert plan["sources"] == {"ensemble": 37, "seasonal_naive": 4}


@pytest.mark.parametrize(("mode", "status", "reason"), [(Mode.STATIC, 404, "NO_PLAN"), (Mode.PREDICTIVE, 503, "NOT_READY")])
async def test_no_plan_says_why(http, balancer, mode, status, reason):
    """Without a plan the answer says whether one will come."""
    balancer.decision = None
    balancer.status_now = replace(default_status(), mode=mode)
    response = await http.get("/v1/plans/latest")
    assert (response.status_code, response.json()["reason"]) == (status, reason)


async def test_dry_run_admits_nothing(http, balancer):
    """A dry run shows a plan whose moves are all marked so, and starts no migration."""
    plan = (await http.post("/v1/plans:dry-run")).json()
    assert {move["admission"] for move in plan["moves"]} == {"dry_run"}
    assert balancer.requests == []


async def test_migrations_newest_first_and_filtered(http):
    """The list keeps the balancer's order, limits, and filters by order param and by what still runs."""
    listed = (await http.get("/v1/migrations?limit=3")).json()["items"]
    assert [item["migration_id"] for item in listed] == ["85-JFK-ATL", "84-JFK-ATL", "83-JFK-BOS"]
    active = (await http.get("/v1/migrations?active=true")).json()["items"]
    assert [(item["migration_id"], item["finished"]) for item in active] == [("85-JFK-ATL", False)]
    named = (await http.get("/v1/migrations", params={"order_param": "a//b"})).json()["items"]
    assert [(item["step"], item["error"]) for item in named] == [("aborted", "the destination does not answer")]


async def test_start_answers_202_with_a_location_that_works(http, balancer):
    """A start is accepted, the source is filled in, and Location leads to the migration."""
    response = await http.post("/v1/migrations", json=START)
    assert response.status_code == 202
    assert balancer.requests[0].source == balancer.placements.placements["LGA-ATL"].owner
    followed = await http.get(response.headers["location"])
    assert {key: value for key, value in followed.json().items() if key != "timeline"} == response.json()
    assert followed.json()["step"] == "prepare"


async def test_location_of_an_id_with_slashes(http):
    """Ids that hold an order param with slashes can be followed, too."""
    body = START | {"request_id": "op/7//x?y#z%"}
    response = await http.post("/v1/migrations", json=body)
    assert (await http.get(response.headers["location"])).json()["migration_id"] == "op/7//x?y#z%"


@pytest.mark.parametrize("how", ["header", "body", "both"])
async def test_the_same_key_is_one_migration(http, balancer, how):
    """A repeat with the same Idempotency-Key or request_id joins the migration instead of starting another."""
    body = START if how == "header" else START | {"request_id": "key-1"}
    headers = {} if how == "body" else {"Idempotency-Key": "key-1"}
    answers = [(await http.post("/v1/migrations", json=body, headers=headers)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert len(balancer.requests) == 1


async def test_a_key_used_for_something_else_is_a_conflict(http):
    """A key that names another migration is refused instead of silently answering with that one."""
    await http.post("/v1/migrations", json=START | {"request_id": "key-1"})
    other = {"order_param": "LGA-BOS", "destination": "shard-2", "request_id": "key-1"}
    response = await http.post("/v1/migrations", json=other)
    assert (response.status_code, response.json()["reason"]) == (409, "MIGRATION_CONFLICT")


async def test_without_a_key_each_start_is_new(http, app):
    """Two starts without a key, a moment apart, are two requests: the second meets the first one running."""
    app.state.now_s = iter((1.0, 1.001)).__next__
    answers = [await http.post("/v1/migrations", json=START) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 409]


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (START | {"order_param": "nobody"}, {}, 404, "UNKNOWN_ORDER_PARAM"),
        (START | {"destination": "shard-99"}, {}, 404, "UNKNOWN_SHARD"),
        (START | {"source": "shard-2", "destination": "shard-3"}, {}, 409, "MIGRATION_CONFLICT"),
        (START | {"source": "shard-2"}, {}, 400, "BAD_INPUT"),
        (START | {"request_id": "one"}, {"Idempotency-Key": "two"}, 400, "BAD_INPUT"),
        (START | {"request_id": "with space"}, {}, 422, "INVALID_REQUEST"),
        (START | {"typo": 1}, {}, 422, "INVALID_REQUEST"),
        ({"destination": "shard-2"}, {}, 422, "INVALID_REQUEST"),
        ({"order_param": "JFK-ATL", "destination": "shard-2"}, {}, 409, "MIGRATION_CONFLICT"),
    ],
)
async def test_bad_starts(http, balancer, *, body, headers, status, reason):
    """Each kind of bad request gets its own status and code, and starts nothing."""
    response = await http.post("/v1/migrations", json=body, headers=headers)
    assert (response.status_code, response.json()["reason"]) == (status, reason)
    assert balancer.requests == []


async def test_unknown_migration(http):
    """A migration that does not exist is 404 with its own code."""
    response = await http.get("/v1/migrations/never")
    assert (response.status_code, response.json()["reason"]) == (404, "UNKNOWN_MIGRATION")
