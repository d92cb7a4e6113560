from __future__ import annotations

import jsonschema
import pytest
from fake_balancer import FakeBalancer

from service.api.app import create_app

DOCUMENT = create_app(FakeBalancer()).openapi()
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def _fits(example, schema):
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(example)


def test_every_promised_route_is_documented():
    """The document holds every route of the API, and nothing of the dashboard's files."""
    assert set(DOCUMENT["paths"]) == {
        "/v1/status",
        "/v1/decisions",
        "/v1/decisions/{number}",
        "/v1/effects",
        "/v1/audit",
        "/v1/audit:export",
        "/v1/costs",
        "/v1/costs/{order_param}",
        "/v1/forecast-quality",
        "/v1/forecast-outcomes/{order_param}",
        "/v1/forecasts/{order_param}",
        "/v1/allocations",
        "/v1/plans/latest",
        "/v1/plans:dry-run",
        "/v1/plans",
        "/v1/plans/{plan_id}",
        "/v1/plans/{plan_id}/approve",
        "/v1/plans/{plan_id}/execute",
        "/v1/plans/{plan_id}/cancel",
        "/v1/balancer",
        "/v1/balancer/pins/{order_param}",
        "/v1/balancer/forbidden/{order_param}",
        "/v1/balancer/spread-groups/{group}",
        "/v1/balancer/drains/{shard}",
        "/v1/balancer/fills/{shard}",
        "/v1/migrations",
        "/v1/migrations/{migration_id}",
        "/v1/migrations/{migration_id}/events",
        "/v1/migrations/{migration_id}/cancel",
        "/v1/history/samples",
        "/v1/capacity",
        "/v1/capacity:what-if",
        "/v1/retrainings",
        "/v1/retrainings/{retraining_id}",
        "/v1/events",
        "/v1/events/{event_id}",
        "/v1/events:import",
        "/v1/shards",
        "/v1/shards/{shard_id}",
        "/v1/order-params",
        "/v1/order-params/{order_param}",
        "/v1/settings",
        "/v1/models",
        "/v1/models/{group}/{horizon}",
        "/v1/models/{group}/{horizon}/champion",
        "/v1/session",
        "/v1/tokens",
        "/v1/tokens/{token_id}",
        "/healthz",
        "/readyz",
        "/metrics",
    }


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_route_has_words_and_valid_examples(path, method, operation):
    """Each route has a summary, a description, and for each answer an example that fits its own schema."""
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        assert response["description"], status
        for media, content in response.get("content", {}).items():
            assert "example" in content, f"{status} {media}"
            _fits(content["example"], content["schema"])
            if media == "application/problem+json":
                assert content["example"]["status"] == int(status)


def test_examples_of_requests_fit():
    """The examples of request bodies fit their schemas."""
    for name in (
        "MigrationStart",
        "EventPut",
        "SamplesPush",
        "RetrainStart",
        "CapacityQuestion",
        "SessionStart",
        "TokenStart",
        "ChampionChange",
    ):
        schema = DOCUMENT["components"]["schemas"][name]
        assert schema["examples"]
        for example in schema["examples"]:
            _fits(example, schema)


def test_errors_are_documented_as_problems():
    """No answer with an error status is documented as anything but a problem document."""
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert set(response["content"]) == {"application/problem+json"}, (operation["summary"], status)


def test_a_wrong_example_would_be_found():
    """Negative control: the check refuses an example that lacks a field."""
    operation = DOCUMENT["paths"]["/v1/status"]["get"]
    content = operation["responses"]["200"]["content"]["application/json"]
    broken = {key: value for key, value in content["example"].items() if key != "mode"}
    with pytest.raises(jsonschema.ValidationError):
        _fits(broken, content["schema"])


async def test_real_answers_fit_the_document(http):
    """What the routes really answer fits the schemas in the document."""
    for path in (
        "/v1/status",
        "/v1/forecast-quality",
        "/v1/allocations",
        "/v1/plans/latest",
        "/v1/plans",
        "/v1/balancer",
        "/v1/migrations",
        "/v1/events",
        "/healthz",
        "/readyz",
    ):
        answer = (await http.get(path)).json()
        _fits(answer, DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"])
    migration = (await http.get("/v1/migrations/85-JFK-ATL")).json()
    operation = DOCUMENT["paths"]["/v1/migrations/{migration_id}"]["get"]
    _fits(migration, operation["responses"]["200"]["content"]["application/json"]["schema"])
    forecast = (await http.get("/v1/forecasts/tenant/7/orders?horizon=medium")).json()
    operation = DOCUMENT["paths"]["/v1/forecasts/{order_param}"]["get"]
    _fits(forecast, operation["responses"]["200"]["content"]["application/json"]["schema"])
