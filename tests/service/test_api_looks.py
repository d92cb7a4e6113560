"""Shards, order params, settings and models in API v1."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from fake_balancer import NAMES, NOW_S, SHARDS, STEP_S

from models.registry import ModelRegistry, VersionFolder
from models.registry_entry import DataSpan, Entry
from plb_ray.domain.audit import AuditQuery
from plb_ray.domain.migration import MigrationStep
from plb_ray.domain.rates import short_horizon
from plb_ray.errors import NotReadyError
from plb_ray.settings import NotifySettings, Settings
from service.api.app import create_app
from service.api.read_schemas import OrderParamDetail, OrderParamPage
from service.api.schemas import Forecast
from service.settings_view import settings_view


async def names(http, query):
    found = (await http.get(f"/v1/order-params?{query}")).json()
    return [each["order_param"] for each in found["items"]], found["total"]


async def test_shards_are_listed_with_what_is_foreseen(http):
    """The queue's own order; the peak is the highest target of the forecast."""
    found = (await http.get("/v1/shards")).json()
    assert [each["shard_id"] for each in found["items"]] == list(SHARDS)
    assert found["total"] == 4
    hot = found["items"][2]
    detail = (await http.get("/v1/shards/shard-3")).json()
    assert hot["peak"]["cpu_cores"] == max(detail["bands"]["cpu_cores"]["target"]) > 0.9
    assert hot["congestion_at"] == detail["congestion_at"] is not None
    assert "history" not in hot


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("sort=utilisation", "shard-3"),
        ("sort=peak", "shard-3"),
        ("sort=backlog", "shard-3"),
        ("sort=congestion", "shard-3"),
        ("sort=name&offset=1", "shard-2"),
        ("contains=D-4", "shard-4"),
    ],
)
async def test_shards_can_be_sorted_and_searched(http, query, first):
    """The busiest or the soonest comes first, whichever is asked for; names are found in any case."""
    assert (await http.get(f"/v1/shards?{query}")).json()["items"][0]["shard_id"] == first


async def test_an_unknown_shard(http):
    """It is 404 with the reason."""
    response = await http.get("/v1/shards/none")
    assert (response.status_code, response.json()["reason"]) == (404, "UNKNOWN_SHARD")


async def test_order_params_come_in_pages(http):
    """All of them, each once, by name."""
    pages = [await names(http, f"limit=15&offset={offset}") for offset in (0, 15, 30, 45)]
    assert [name for page, _ in pages for name in page] == sorted(NAMES)
    assert {total for _, total in pages} == {len(NAMES)}


async def test_order_params_can_be_searched_and_sorted(http):
    """By a part of the name in any case, by shard, and by what is highest; those that are equal come by name."""
    assert await names(http, "contains=CAF%C3%89") == (["100% café ☕"], 1)
    found, total = await names(http, "shard=shard-1&limit=1000")
    assert total == len(found)
    assert "JFK-LAX" in found
    for sort, field in (("rate", "messages_per_s"), ("backlog", "backlog")):
        items = (await http.get(f"/v1/order-params?sort={sort}&limit=1000")).json()["items"]
        assert [each["order_param"] for each in items] == [
            each["order_param"] for each in sorted(items, key=lambda each, f=field: (-each[f], each["order_param"]))
        ]
    assert await names(http, "contains=nothing+like+it") == ([], 0)


@pytest.mark.parametrize("name", ["tenant/7/orders", "a//b", "100% café ☕", "q?x=1&y=2#frag", "..hidden"])
async def test_one_order_param(http, name):
    """Rate, load, backlog, shards, history and cost, whatever characters its name holds."""
    found = (await http.get(f"/v1/order-params/{quote(name, safe='')}")).json()
    assert found["order_param"] == name
    assert len(found["history"]) == 144
    assert found["cost"]["lower"]["cpu_cores"] <= found["cost"]["cost"]["cpu_cores"] <= found["cost"]["upper"]["cpu_cores"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/order-params", OrderParamPage),
        ("/v1/order-params?sort=backlog&limit=3&offset=2", OrderParamPage),
        ("/v1/order-params/JFK-ATL?history_steps=5", OrderParamDetail),
        ("/v1/order-params/EWR-MIA?history_steps=0", OrderParamDetail),
        ("/v1/forecasts/JFK-ATL?horizon=medium", Forecast),
        ("/v1/forecasts/a%2F%2Fb?history_steps=0", Forecast),
    ],
)
async def test_what_is_not_validated_is_right_all_the_same(http, path, model):
    """Answers that are made without their model are, byte for byte, what the model makes of them."""
    answer = (await http.get(path)).content
    assert model.model_validate_json(answer).model_dump_json().encode() == answer


async def test_where_an_order_param_was(http, balancer):
    """Each migration that has ended well is a placement, newest first; one that was rolled back is none."""
    found = (await http.get("/v1/order-params/a//b")).json()
    assert found["placements"] == []
    record = next(each for each in balancer.records if each.order_param == "a//b")
    balancer.records.insert(0, replace(record, migration_id="m-2", step=MigrationStep.DONE, finished_s=NOW_S))
    found = (await http.get("/v1/order-params/a//b")).json()
    assert found["placements"] == [{"shard": "shard-4", "since": "2013-11-27T14:00:00Z", "migration_id": "m-2"}]


async def test_an_order_param_of_which_little_is_known(http, balancer):
    """Without a cost or a message so far it is shown all the same; one that is not there is 404."""
    balancer.failing["cost"] = NotReadyError("starting")
    found = (await http.get("/v1/order-params/JFK-LAX?history_steps=0")).json()
    assert (found["cost"], found["history"]) == (None, [])
    response = await http.get("/v1/order-params/none")
    assert (response.status_code, response.json()["reason"]) == (404, "UNKNOWN_ORDER_PARAM")


# Settings


async def test_settings_are_shown_without_secrets(balancer):
    """Each setting with its default; of a secret only that it is set."""
    settings = Settings(notify=NotifySettings(slack_url="https://hooks.slack.example/T0/B0/secret"))
    app = create_app(balancer, settings=settings_view(settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plb") as http:
        response = await http.get("/v1/settings")
    found = {each["key"]: each for each in response.json()["items"]}
    assert found["balancer.headroom"] == {
        "key": "balancer.headroom",
        "value": 0.9,
        "default": 0.9,
        "changed": False,
        "secret": False,
    }
    assert found["notify.slack_url"]["changed"]
    assert found["notify.slack_url"]["secret"]
    assert found["notify.slack_url"]["value"] is None
    assert "hooks.slack" not in response.text


# Models


@pytest.fixture
def registry(tmp_path):
    folder = VersionFolder(tmp_path / "networks" / "group-0" / "short", lambda: NOW_S)
    data = DataSpan(0, 86_400, 172_800, STEP_S, 40, "digest")
    made = Entry(short_horizon(STEP_S), (0.5,), "ensemble", {"wql": 0.131}, (0.1,), data, 1, 2.5, "key", "0.1.0")
    for _ in range(2):
        version = folder.add(lambda path: path.mkdir(), made, "training")
        folder.promote(version, "better", "training")
    return ModelRegistry(tmp_path / "networks", lambda: NOW_S)


@pytest.fixture
async def with_models(balancer, registry):
    app = create_app(balancer, now_s=lambda: NOW_S, models=registry)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plb") as http:
        yield http


async def test_the_champions_are_listed(with_models):
    """Each group and horizon with who serves and how good the newest version was."""
    found = (await with_models.get("/v1/models")).json()
    assert [(each["group"], each["horizon"], each["champion"], each["versions"]) for each in found["items"]] == [
        ("group-0", "short", "v0002", 2)
    ]
    assert found["items"][0]["newest"]["metrics"]["wql"] == 0.131


async def test_an_earlier_version_serves_again(with_models, balancer):
    """A person's choice stands in the versions' own events and in the audit log, under the caller's name."""
    changed = await with_models.put("/v1/models/group-0/short/champion", json={"version": "v0001", "reason": "too high"})
    assert changed.json()["champion"] == "v0001"
    again = await with_models.put("/v1/models/group-0/short/champion", json={"version": "v0001", "reason": "too high"})
    assert again.json()["events"] == changed.json()["events"]
    last = changed.json()["events"][-1]
    assert (last["what"], last["version"], last["who"], last["reason"]) == ("rolled back", "v0001", "anonymous", "too high")
    none = (await with_models.put("/v1/models/group-0/short/champion", json={"version": None, "reason": "drift"})).json()
    assert (none["champion"], none["baseline_serves"]) == (None, True)
    assert [each.action for each in await balancer.audit_log(AuditQuery())] == ["model.serve"] * 3


async def test_what_is_not_there(with_models, http):
    """An unknown group or version is 404; a service without a registry has no models."""
    assert (await with_models.get("/v1/models/none/short")).status_code == 404
    body = {"version": "v0009", "reason": "x"}
    assert (await with_models.put("/v1/models/group-0/short/champion", json=body)).status_code == 404
    assert (await http.get("/v1/models")).json()["items"] == []
    assert (await http.get("/v1/models/group-0/short")).status_code == 404
