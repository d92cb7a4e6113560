"""Decisions, effects, audit log and costs over HTTP."""

from __future__ import annotations

import json
from urllib.parse import quote

import jsonschema
import pytest
from fake_balancer import NAMES, ODD_NAMES, FakeBalancer
from fake_record import AT_S, ENTRIES, effect

from plb_ray.control.views import Admission
from plb_ray.domain.effects import EffectState
from plb_ray.errors import ControlUnavailableError
from service.api.app import create_app
from service.words import ADMISSION_WORDS


async def numbers(http, query=""):
    return [each["number"] for each in (await http.get(f"/v1/decisions{query}")).json()["items"]]


async def test_decisions_are_paged_and_filtered(http):
    """Newest first; the page after begins before the last number; filters combine on one and the same move."""
    assert await numbers(http) == [85, 84, 83, 82]
    page = (await http.get("/v1/decisions?limit=2")).json()
    assert page["next_before"] == 84
    assert await numbers(http, f"?limit=2&before={page['next_before']}") == [83, 82]
    assert (await http.get("/v1/decisions?limit=2&before=83")).json()["next_before"] is None
    assert await numbers(http, "?moves=true") == [85, 83]
    assert await numbers(http, "?admission=deferred") == [83]
    assert await numbers(http, "?order_param=a//b&admission=admitted") == []
    assert await numbers(http, f"?order_param={quote('tenant/7/orders')}") == [85]
    assert await numbers(http, "?since=2013-11-27T13:50:00Z&until=2013-11-27T14:00:00") == [84]
    assert await numbers(http, "?since=2013-11-27T15:50:00%2B02:00") == [85, 84]


async def test_a_decision_tells_the_whole_story(http, balancer):
    """Inputs by shard, orders and memory, each move with its reason in words, and what the sent ones promised and kept."""
    await balancer.kept_effects.put([effect(83, "JFK-ATL")])
    found = (await http.get("/v1/decisions/83")).json()
    assert found["sent"] == 1
    assert [move["admission_words"] for move in found["moves"]] == ["sent", ADMISSION_WORDS[Admission.DEFERRED]]
    assert found["moves"][1]["until"] == "2013-11-27T15:00:00Z"
    shard = found["inputs"]["shards"][0]
    assert (shard["shard_id"], shard["now"], shard["peak"], shard["peak_at"]) == (
        "shard-3",
        0.68,
        1.12,
        "2013-11-27T14:10:00Z",
    )
    assert found["inputs"]["shards_left_out"] == 2
    assert found["inputs"]["orders"]["pinned"] == {"some": ["JFK-SEA"], "count": 1}
    (kept,) = found["effects"]
    assert (kept["promised"]["taken_s"], kept["realised"]["taken_s"], kept["state"]) == (192.0, 150.0, "settled")
    assert [step["taken_s"] for step in kept["promised"]["steps"]] == [60.0, 132.0]


async def test_decisions_of_earlier_releases_are_shown(http):
    """What they did not write down is null or what it was then."""
    found = (await http.get("/v1/decisions/82")).json()
    assert (found["inputs"], found["notes"], found["basis"]) == (None, [], "forecast")


async def test_an_unknown_decision_is_a_problem(http):
    """404 with a code and what to do; numbers that no database holds do not fit the schema."""
    response = await http.get("/v1/decisions/99")
    assert (response.status_code, response.json()["reason"]) == (404, "UNKNOWN_DECISION")
    for path in ("/v1/decisions/-1", "/v1/decisions/9223372036854775808", "/v1/decisions?before=1e3"):
        assert (await http.get(path)).status_code == 422


async def test_effects_of_moves(http, balancer):
    """Newest first, one that is pending has nothing realised yet; by order param, whatever its name."""
    await balancer.kept_effects.put([effect(83, "JFK-ATL"), effect(85, "tenant/7/orders", EffectState.PENDING)])
    items = (await http.get("/v1/effects")).json()["items"]
    assert [(each["decision"], each["state"]) for each in items] == [(85, "pending"), (83, "settled")]
    assert (items[0]["realised"]["steps"], items[0]["realised"]["pause_ms"]) == (0, None)
    found = (await http.get("/v1/effects?order_param=JFK-ATL&limit=1")).json()
    assert [each["migration_id"] for each in found["items"]] == ["83-JFK-ATL"]


async def test_the_audit_log_is_paged_and_filtered(http, balancer):
    """Newest first; by who, by action or its first word, and by time."""
    await balancer.log.append(ENTRIES)
    found = (await http.get("/v1/audit")).json()
    assert [each["who"] for each in found["items"]] == ["ada", "balancer", "balancer"]
    assert found["next_before"] is None
    first = (await http.get("/v1/audit?limit=1")).json()
    rest = (await http.get(f"/v1/audit?before={first['next_before']}")).json()
    assert first["items"] + rest["items"] == found["items"]
    assert len((await http.get("/v1/audit?action=migration")).json()["items"]) == 1
    assert len((await http.get("/v1/audit?who=balancer")).json()["items"]) == 2
    assert len((await http.get("/v1/audit?since=2013-11-27T14:00:01Z&until=2013-11-27T14:00:05Z")).json()["items"]) == 1


async def test_the_audit_log_is_exported_whole_and_in_order(http, balancer):
    """A JSON object a line, oldest first, over as many pages of the log as there are."""
    many = [ENTRIES[number % 3] for number in range(2500)]
    await balancer.log.append(many)
    response = await http.get("/v1/audit:export")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, 2501))
    assert [line["action"] for line in lines] == [each.action for each in many]
    assert (await http.get("/v1/audit:export?who=nobody")).text == ""
    balancer.failing["audit_log"] = ControlUnavailableError("gone")
    assert (await http.get("/v1/audit:export")).status_code == 503


async def test_costs_are_paged_with_bands(http):
    """Sorted, each cost within its band; filtered by a part of the name in any case; one by its name, whatever it is."""
    page = (await http.get("/v1/costs?limit=5&offset=2")).json()
    assert (page["total"], [each["order_param"] for each in page["items"]]) == (len(NAMES), sorted(NAMES)[2:7])
    for each in page["items"]:
        for resource, cost in each["cost"].items():
            assert each["lower"][resource] <= cost <= each["upper"][resource]
    assert (await http.get("/v1/costs?contains=jfk-l")).json()["total"] == 2
    for name in ODD_NAMES:
        assert (await http.get(f"/v1/costs/{quote(name, safe='')}")).json()["order_param"] == name
    assert (await http.get("/v1/costs/nobody")).json()["reason"] == "UNKNOWN_ORDER_PARAM"


def test_every_reason_has_words():
    """Whatever a move can meet is said in words, and nothing else is."""
    assert set(ADMISSION_WORDS) == set(Admission)


async def test_real_answers_fit_the_document(http, balancer):
    """What the record's routes really answer fits the schemas in the OpenAPI document."""
    await balancer.kept_effects.put([effect(83, "JFK-ATL")])
    await balancer.log.append(ENTRIES)
    document = create_app(FakeBalancer()).openapi()
    asked = {
        "/v1/decisions": "/v1/decisions",
        "/v1/decisions/83": "/v1/decisions/{number}",
        "/v1/decisions/82": "/v1/decisions/{number}",
        "/v1/effects": "/v1/effects",
        "/v1/audit": "/v1/audit",
        "/v1/costs": "/v1/costs",
        "/v1/costs/JFK-LAX": "/v1/costs/{order_param}",
    }
    for path, route in asked.items():
        schema = document["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate((await http.get(path)).json())


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/effects", "/v1/audit", "/v1/audit:export", "/v1/costs"])
async def test_any_name_and_time_is_answered(http, path):
    """Names that nothing has and times far away are answered with what fits, which may be nothing."""
    response = await http.get(f"{path}?since=0001-01-01T00:00:00&order_param=%00%F0%9F%98%80&who=%00&contains=%00")
    assert response.status_code == 200, AT_S
