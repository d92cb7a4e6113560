from __future__ import annotations

import json

import pytest
from fake_balancer import NOW_S, STEP_S

from plb_ray.domain.samples import SAMPLES_MAX, SampleKind
from plb_ray.errors import ControlUnavailableError

URL = "/v1/history/samples"
STEP = int(NOW_S) - 2 * STEP_S


def sample(order_param="JFK-LAX", at=STEP, value=1.0):
    return {"order_param": order_param, "at": at, "value": value}


async def test_samples_are_taken_and_told_apart(http, balancer):
    """Times in both forms and odd names arrive as they are; the answer says what became of each."""
    body = {"samples": [sample(at="2013-11-27T13:40:00Z"), sample("tenant/7/orders", value=2), sample("☕", value=-1)]}
    answer = await http.post(URL, json=body)
    assert answer.status_code == 200
    assert balancer.cells == {("JFK-LAX", STEP): 1.0, ("tenant/7/orders", STEP): 2.0}
    found = answer.json()
    assert (found["late"], found["refused"], found["duplicate"]) == (2, 1, 0)
    assert found["reasons"] == ["order param '☕', time 2013-11-27T13:40:00+00:00, value -1.0: the value is negative"]
    assert (await http.post(URL, json=body)).json()["duplicate"] == 2


async def test_counters_are_differenced(http, balancer):
    """Of a counter the samples of one order param belong together, in whatever order they stand."""
    points = [(STEP + STEP_S, 700.0), (STEP, 100.0)]
    body = {"kind": "counter", "samples": [sample("a", at, value) for at, value in points]}
    assert (await http.post(URL, json=body)).json()["late"] == 1
    assert balancer.told[0].kind is SampleKind.COUNTER
    assert balancer.cells == {("a", STEP): 1.0}


async def test_one_value_that_is_no_number_does_not_cost_the_batch(http, balancer):
    """NaN, as some programs write it into JSON, is refused for itself."""
    text = json.dumps({"samples": [sample(value=float("nan")), sample("b")]})
    answer = await http.post(URL, content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["refused"], answer.json()["late"]) == (200, 1, 1)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"samples": []}, "body.samples"),
        ({"samples": [sample()] * (SAMPLES_MAX + 1)}, "body.samples"),
        ({"samples": [sample(order_param="")]}, "body.samples.0.order_param"),
        ({"samples": [sample(at="2013-11-27T13:40:00")]}, "body.samples.0.at.datetime"),
        ({"samples": [sample(value=None)]}, "body.samples.0.value"),
        ({"samples": [sample(), {**sample(), "unit": "m"}]}, "body.samples.1.unit"),
        ({"kind": "gauge", "samples": [sample()]}, "body.kind"),
        ({}, "body.samples"),
    ],
)
async def test_what_does_not_fit_is_named_and_nothing_is_taken(http, balancer, body, where):
    """An empty or too large batch, a time without an offset, an unknown field: 422 that names the field."""
    answer = await http.post(URL, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == where
    assert balancer.told == []


async def test_a_loop_that_is_away_is_busy(http, balancer):
    """While the control loop restarts, the same push is asked for again later."""
    balancer.failing["push_samples"] = ControlUnavailableError("restarting")
    answer = await http.post(URL, json={"samples": [sample()]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_status_shows_the_history(http):
    """How much history there is, and whether its source answers, is in the status."""
    found = (await http.get("/v1/status")).json()["history"]
    assert (found["step_s"], found["steps"], found["source_error"]) == (STEP_S, 47_000, "")
    assert found["end"] == "2013-11-27T14:00:00Z"
