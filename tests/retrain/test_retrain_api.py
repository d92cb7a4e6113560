"""Retrainings over HTTP, over a fake that holds one."""

from dataclasses import replace

import httpx
import jsonschema
import pytest
from retrainings_here import NOW_S, RetrainingsHere, a_place, work_done

from plb_ray.cluster.retraining import PartState, RetrainRequest
from service.api.app import create_app
from tests.service.fake_balancer import FakeBalancer


@pytest.fixture
def retrainings(tmp_path):
    return RetrainingsHere(a_place(tmp_path))


@pytest.fixture
def app(retrainings):
    return create_app(FakeBalancer(), now_s=lambda: NOW_S + 30, retrainings=retrainings)


@pytest.fixture
async def http(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://plb") as client:
        yield client


async def started(http, **body):
    response = await http.post("/v1/retrainings", json=body)
    assert response.status_code == 202, response.text
    return response


async def test_starting_says_where_to_follow(http, retrainings):
    """The answer is 202 with a Location that answers with the same retraining."""
    response = await started(http, groups=["group-0"], horizons=["short"], since="14d")
    assert retrainings.asked == [RetrainRequest(("group-0",), ("short",), "14d", again=False)]
    found = (await http.get(response.headers["Location"])).json()
    assert {**response.json(), "log": [], "log_lines": 0} == found
    assert (found["state"], found["fraction"], found["parts"][0]["group"]) == ("waiting", 0.0, "group-0")


async def test_an_empty_body_is_everything(http, retrainings):
    """All groups and both horizons, from as much history as use is made of."""
    found = (await started(http)).json()
    assert (found["groups"], found["horizons"]) == (["group-0", "group-1", "hot-0"], ["short", "medium"])


async def test_progress_and_eta(http, retrainings):
    """While it runs the answer has how far it is, part by part, and when it will end."""
    found = (await started(http, groups=["group-0"])).json()
    record = retrainings.record.started(NOW_S, (0, 600))
    retrainings.record = record.with_part(
        replace(record.parts[0], state=PartState.TRAINING, fraction=0.5, where="10.0.0.4:7", attempts=1)
    )
    found = (await http.get(f"/v1/retrainings/{found['retraining_id']}")).json()
    assert (found["state"], found["fraction"], found["eta_s"]) == ("running", 0.25, 90.0)
    assert found["parts"][0]["where"] == "10.0.0.4:7"
    assert found["started_at"] == "2024-10-04T01:00:00Z"


async def test_the_log_can_be_followed(http, retrainings):
    """Without a number the last 20 lines come, with one the lines from there on; the answer has the next number."""
    path = (await started(http)).headers["Location"]
    retrainings.lines = [f"line {number}" for number in range(30)]
    found = (await http.get(path)).json()
    assert (found["log"][0], found["log_lines"]) == ("line 10", 30)
    onward = (await http.get(path, params={"log_from": 28})).json()
    assert onward["log"] == ["line 28", "line 29"]
    assert (await http.get(path, params={"log_from": 99})).json()["log"] == []


async def test_list_and_cancel(http, retrainings):
    """The list has it; DELETE ends it, and again changes nothing."""
    assert (await http.get("/v1/retrainings")).json() == {"items": []}
    path = (await started(http)).headers["Location"]
    assert len((await http.get("/v1/retrainings")).json()["items"]) == 1
    cancelled = (await http.delete(path)).json()
    assert (cancelled["state"], cancelled["ended_at"]) == ("cancelled", "2024-10-04T01:00:09Z")
    assert (await http.delete(path)).json() == cancelled


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"groups": ["group-9"]}, 400, "unknown group 'group-9'; known are group-0, group-1, hot-0"),
        ({"horizons": ["long"]}, 400, "unknown horizon 'long'"),
        ({"since": "soon"}, 400, "neither a span such as 14d"),
        ({"group": "group-0"}, 422, "body.group"),
    ],
)
async def test_what_cannot_be_meant(http, body, status, sentence):
    """The problem document says what is wrong and what there is."""
    response = await http.post("/v1/retrainings", json=body)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert sentence in response.json()["detail"]


@pytest.mark.parametrize("method", ["get", "delete"])
async def test_an_unknown_retraining(http, method):
    """It is not found, with a code of its own and where the known ones are."""
    body = (await getattr(http, method)("/v1/retrainings/retrain-0")).json()
    assert (body["status"], body["reason"]) == (404, "UNKNOWN_RETRAINING")
    assert "GET /v1/retrainings" in body["detail"]


async def test_a_job_server_that_is_away(http, retrainings):
    """It is "later", with Retry-After."""
    retrainings.away = True
    response = await http.post("/v1/retrainings", json={})
    assert (response.status_code, response.json()["reason"]) == (503, "JOB_SERVER_UNAVAILABLE")
    assert response.headers["Retry-After"]


async def test_a_service_without_jobs():
    """Where there is no Ray nothing is listed, and starting is refused with where it works."""
    transport = httpx.ASGITransport(create_app(FakeBalancer()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://plb") as http:
        assert (await http.get("/v1/retrainings")).json() == {"items": []}
        refused = (await http.post("/v1/retrainings", json={})).json()
    assert (refused["status"], "plb serve" in refused["detail"]) == (503, True)


async def test_answers_fit_the_document(app, http, retrainings):
    """What the routes really answer, waiting and ended, fits their schemas; so does the example of a request."""
    document = app.openapi()

    def fits(example, schema):
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(example)

    def schema_of(path, method, status):
        return document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]

    response = await started(http)
    fits(response.json(), schema_of("/v1/retrainings", "post", "202"))
    retrainings.record = work_done(retrainings.record)
    one = (await http.get(response.headers["Location"])).json()
    fits(one, schema_of("/v1/retrainings/{retraining_id}", "get", "200"))
    fits((await http.get("/v1/retrainings")).json(), schema_of("/v1/retrainings", "get", "200"))
    for example in document["components"]["schemas"]["RetrainStart"]["examples"]:
        fits(example, document["components"]["schemas"]["RetrainStart"])
