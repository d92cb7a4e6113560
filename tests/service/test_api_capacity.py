"""Capacity questions over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.errors import NotReadyError

PATH = "/v1/capacity:what-if"


async def test_a_question_is_answered_with_bounds_and_the_way_there(http):
    """The answer has a fleet not below its proven bound, a need for each hour, and a plan that names shards there are."""
    found = (await http.post(PATH, json={})).json()
    assert found["status"] in ("optimal", "feasible")
    assert found["shards"] >= found["shards_lower_bound"] >= 1
    assert found["price"] >= found["price_lower_bound"] > 0
    assert found["risk"] <= found["alpha"] * 1.001
    assert len(found["hours"]["steps"]) == 24
    assert all(step["needed"] >= step["lower_bound"] for step in found["hours"]["steps"])
    assert found["binding_resource"] == "cpu_cores"
    assert set(found["plan"]["drain"]) <= {"shard-1", "shard-2", "shard-3", "shard-4"}


async def test_growth_is_answered_with_more_shards(http):
    """Ten times the traffic needs more shards, which the plan starts."""
    plain = (await http.post(PATH, json={})).json()
    grown = (await http.post(PATH, json={"growths": [{"percent": 900}], "segments": 8})).json()
    assert grown["shards"] > plain["shards"]
    assert sum(grown["plan"]["start"].values()) == grown["shards"] - 4 + len(grown["plan"]["drain"])


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"growths": [{"order_params": ["nobody"], "percent": 1}]}, 400, "nobody"),
        ({"types": [{"name": "t", "capacity": {"gpus": 1}}]}, 400, "gpus"),
        ({"horizon": "year"}, 422, "horizon"),
        ({"alpha": 0}, 422, "alpha"),
        ({"surprise": 1}, 422, "surprise"),
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused(http, body, status, named):
    """The refusal names what is wrong."""
    answer = await http.post(PATH, json=body)
    assert answer.status_code == status
    assert named in answer.json()["detail"]


async def test_a_whole_number_may_be_written_with_a_point(http):
    """To JSON 2.0 is an integer; 2.5 and true are none."""
    assert (await http.post(PATH, json={"seed": 2.0, "zones": 1.0})).status_code == 200
    for wrong in (2.5, True):
        assert (await http.post(PATH, json={"seed": wrong})).status_code == 422


async def test_before_the_first_tick_it_says_so(http, balancer):
    """There is nothing to plan from yet: 503, to be asked again."""
    balancer.failing["capacity_basis"] = NotReadyError("the first tick is outstanding")
    answer = await http.post(PATH, json={})
    assert (answer.status_code, answer.json()["reason"]) == (503, "NOT_READY")
    assert answer.headers["Retry-After"]


async def test_one_question_at_a_time(http, app):
    """A second question meanwhile is sent away with Retry-After, so that questions cannot pile up."""
    async with app.state.capacity_gate:
        answer = await http.post(PATH, json={})
    assert answer.status_code == 503
    assert (await asyncio.wait_for(http.post(PATH, json={}), 60)).status_code == 200
