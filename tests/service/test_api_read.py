from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest
from fake_balancer import NAMES, ODD_NAMES, default_status
from prometheus_client.parser import text_string_to_metric_families

from plb_ray.control.views import Mode
from plb_ray.errors import ControlUnavailableError


async def test_status_shows_every_shard_with_its_band(http):
    """The status carries mode, time in UTC, and for each shard history and forecast band of equal lengths."""
    status = (await http.get("/v1/status")).json()
    assert (status["mode"], status["ready"], status["at"]) == ("predictive", True, "2013-11-27T14:00:00Z")
    assert len(status["shards"]) == 4
    for shard in status["shards"]:
        band = shard["bands"]["cpu_cores"]
        assert len(band["starts"]) == len(band["expected"]) == len(band["target"]) == 24
        assert len(shard["history_at"]) == len(shard["history"]) == 144
    assert [shard["congestion_at"] is not None for shard in status["shards"]] == [False, False, True, False]


async def test_unlimited_capacity_is_null(http):
    """A capacity without limit is null, since JSON has no infinity."""
    response = await http.get("/v1/status")
    assert "Infinity" not in response.text
    assert response.json()["shards"][0]["capacity"] == {"cpu_cores": 1.0, "memory_bytes": None, "io_bytes_per_s": 50e6}


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("safe", ["", "/"], ids=["slashes-encoded", "slashes-plain"])
async def test_forecast_of_any_name(http, name, safe):
    """An order param may be called anything: slashes, spaces, question marks, markup, other scripts."""
    response = await http.get(f"/v1/forecasts/{quote(name, safe=safe)}")
    assert response.status_code == 200
    assert response.json()["order_param"] == name


@pytest.mark.parametrize(("horizon", "steps", "step_s"), [("short", 2, 600), ("medium", 24, 3600)])
async def test_forecast_horizons(http, horizon, steps, step_s):
    """Each horizon has its steps, a value per quantile level, and begins where the history ends."""
    found = (await http.get(f"/v1/forecasts/JFK-LAX?horizon={horizon}&history_steps=3")).json()
    assert (found["horizon"], found["step_s"], len(found["steps"])) == (horizon, step_s, steps)
    assert all(len(step["messages_per_s"]) == len(found["levels"]) for step in found["steps"])
    assert [point["at"] for point in found["history"]][-1] == "2013-11-27T13:50:00Z"
    assert found["steps"][0]["at"] == "2013-11-27T14:00:00Z"
    assert len(found["history"]) == 3


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_outcomes_of_any_name(http, name):
    """What was foreseen stands beside what came, a rate per level, as many steps back as asked for."""
    path = f"/v1/forecast-outcomes/{quote(name, safe='')}?horizon=medium&distance=last&steps=7"
    found = (await http.get(path)).json()
    assert (found["order_param"], found["horizon"], len(found["items"])) == (name, "medium", 7)
    assert {len(each["foreseen_messages_per_s"]) for each in found["items"]} == {len(found["levels"])}
    assert found["items"][-1]["at"] == "2013-11-27T13:50:00Z"
    assert 0 <= found["coverage_80"] <= found["coverage_95"] <= 1


async def test_no_history_when_none_is_asked_for(http):
    """history_steps=0 gives none, whatever the balancer takes 0 for."""
    assert (await http.get("/v1/forecasts/JFK-LAX?history_steps=0")).json()["history"] == []


async def test_pages_cover_the_mapping_once(http):
    """Walking the pages gives every order param exactly once, in order."""
    seen = []
    for offset in range(0, len(NAMES) + 10, 10):
        page = (await http.get(f"/v1/allocations?limit=10&offset={offset}")).json()
        assert page["total"] == len(NAMES)
        seen += [item["order_param"] for item in page["items"]]
    assert seen == sorted(NAMES)


async def test_allocation_filters_combine(http):
    """Filters by shard, prefix and part of a name narrow together; a chained order param is on both its shards."""
    page = (await http.get("/v1/allocations?shard=shard-1&prefix=JFK&contains=-l")).json()
    assert [item["order_param"] for item in page["items"]] == ["JFK-LAS", "JFK-LAX"]
    chained = page["items"][1]
    assert chained["shards"] == ["shard-3", "shard-1"]
    assert page["total"] == 2
    assert (await http.get("/v1/allocations?shard=nowhere")).json()["total"] == 0


async def test_healthz_does_not_ask_the_balancer(http, balancer):
    """The process is healthy even when the control loop is not."""
    balancer.failing["status"] = ControlUnavailableError("gone")
    assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_readyz_when_ready(http):
    """Ready names how many shards answer."""
    assert (await http.get("/readyz")).json() == {"status": "ready", "shards_answering": 4, "shards": 4}


def _silent(status, count):
    return replace(
        status, shards=tuple(replace(s, error="no answer") if i < count else s for i, s in enumerate(status.shards))
    )


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (replace(default_status(), ready=False, last_error="disk full"), "disk full"),
        (replace(default_status(), shards=()), "no shards"),
        (_silent(default_status(), 4), "none of 4 shards answers"),
    ],
    ids=["starting", "no-shards", "all-silent"],
)
async def test_readyz_says_why_not(http, balancer, status, why):
    """Not ready is 503 with the reason and when to ask again."""
    balancer.status_now = status
    response = await http.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert why in response.json()["detail"]


async def test_ready_with_one_shard_left(http, balancer):
    """One silent shard does not take the service out of rotation, and is counted."""
    balancer.status_now = _silent(default_status(), 3)
    assert (await http.get("/readyz")).json()["shards_answering"] == 1


def _samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_tell_the_state(http, balancer):
    """Metrics parse as Prometheus text and hold the state per shard; a silent shard has no stale figures."""
    balancer.status_now = _silent(default_status(), 1)
    samples = _samples((await http.get("/metrics")).text)
    assert samples["plb_up",] == 1
    assert samples["plb_ticks_total",] == 85
    assert samples["plb_migrations_total", ("mode", "copy"), ("outcome", "rolled_back")] == 1
    assert samples["plb_migrations_total", ("mode", "chain"), ("outcome", "done")] == 0
    assert samples["plb_migration_rollbacks_total", ("step", "precopied")] == 1
    assert samples["plb_migration_messages_copied_total",] == 5000
    assert samples["plb_migration_bytes_copied_total",] == 1_000_000
    assert samples["plb_migrations_active",] == 1
    assert samples["plb_mode", ("mode", Mode.PREDICTIVE.value)] == 1
    assert samples["plb_mode", ("mode", Mode.STATIC.value)] == 0
    assert samples["plb_shard_up", ("shard", "shard-1")] == 0
    assert ("plb_shard_backlog_messages", ("shard", "shard-1")) not in samples
    assert samples["plb_shard_forecast_peak_ratio", ("resource", "cpu_cores"), ("shard", "shard-3")] > 1
    assert ("plb_shard_congestion_in_seconds", ("shard", "shard-3")) in samples
    assert ("plb_shard_congestion_in_seconds", ("shard", "shard-4")) not in samples


async def test_pauses_are_a_histogram(http):
    """Each bucket counts the pauses up to its bound in seconds; sum and count are those of all, per mode."""
    samples = _samples((await http.get("/metrics")).text)
    buckets = {
        dict(labels)["le"]: value
        for (name, *labels), value in samples.items()
        if name == "plb_migration_pause_seconds_bucket" and dict(labels)["mode"] == "copy"
    }
    assert [buckets[bound] for bound in ("0.005", "0.01", "0.02", "0.03", "0.05", "+Inf")] == [0, 1, 2, 2, 3, 3]
    assert samples["plb_migration_pause_seconds_sum", ("mode", "copy")] == 0.051
    assert samples["plb_migration_pause_seconds_count", ("mode", "copy")] == 3
    assert samples["plb_migration_pause_seconds_count", ("mode", "chain")] == 0


async def test_metrics_never_grow_with_order_params_or_paths(http):
    """No order param is a label; requests count by route template, and invented paths and methods as other."""
    await http.get("/v1/forecasts/tenant/7/orders")
    await http.get("/invented/1")
    await http.request("BREW", "/v1/status")
    text = (await http.get("/metrics")).text
    assert not any(name in text for name in NAMES)
    samples = _samples(text)
    route = ("route", "/v1/forecasts/{order_param:path}")
    assert samples["plb_http_requests_total", ("method", "GET"), route, ("status", "2xx")] == 1
    assert samples["plb_http_requests_total", ("method", "GET"), ("route", "other"), ("status", "4xx")] == 1
    assert not any("BREW" in str(key) or "invented" in str(key) for key in samples)


async def test_metrics_while_the_control_loop_is_away(http, balancer):
    """Scraping still works when the control loop does not answer, and says so."""
    balancer.failing["status"] = ControlUnavailableError("gone")
    response = await http.get("/metrics")
    assert response.status_code == 200
    samples = _samples(response.text)
    assert samples["plb_up",] == 0
    assert not any(key[0].startswith("plb_shard") for key in samples)
