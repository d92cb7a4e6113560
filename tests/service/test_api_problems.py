from __future__ import annotations

import pytest

from plb_ray import errors
from service.api.app import create_app
from service.api.problems import retry_after_s, status_of

INSTANCES = [
    errors.PausedError("a", 2500),
    errors.ShardUnavailableError("shard-1", "127.0.0.1:1", "refused"),
    errors.TooManyMigrationsError("4 run already"),
    errors.NotReadyError("starting"),
    errors.ControlUnavailableError("restarting"),
    errors.ServiceUnreachableError("http://127.0.0.1:1"),
    errors.BadInputError("bad"),
    errors.UnknownOrderParamError("a"),
    errors.UnknownShardError("s"),
    errors.UnknownMigrationError("m"),
    errors.UnknownEventError("e"),
    errors.UnknownRetrainingError("r"),
    errors.UnknownTokenError("t"),
    errors.UnknownDecisionError(7),
    errors.UnknownPlanError("p"),
    errors.PlanConflictError("it has ended"),
    errors.JobServerUnavailableError("does not answer"),
    errors.NotTheHolderError("a", "c"),
    errors.PortInUseError("127.0.0.1:1", "x"),
    errors.MigrationConflictError("c"),
    errors.SequenceGapError("p", 3),
    errors.NoForecastError("too short"),
    errors.NoPlanError("static"),
    errors.MovedError("a", "shard-1", "127.0.0.1:1", 3),
    errors.StaleEpochError("a", 1, 2),
    errors.LeaseExpiredError("late"),
    errors.NotTheOwnerError("other"),
    errors.RolledBackError("m", "paused", "because"),
    errors.OutcomeUnknownError("maybe"),
]
EXPECTED = {
    "PAUSED": 503,
    "SHARD_UNAVAILABLE": 503,
    "TOO_MANY_MIGRATIONS": 429,
    "NOT_READY": 503,
    "CONTROL_UNAVAILABLE": 503,
    "SERVICE_UNREACHABLE": 503,
    "BAD_INPUT": 400,
    "UNKNOWN_ORDER_PARAM": 404,
    "UNKNOWN_SHARD": 404,
    "UNKNOWN_MIGRATION": 404,
    "UNKNOWN_EVENT": 404,
    "UNKNOWN_RETRAINING": 404,
    "UNKNOWN_TOKEN_NAME": 404,
    "UNKNOWN_DECISION": 404,
    "UNKNOWN_PLAN": 404,
    "PLAN_CONFLICT": 409,
    "JOB_SERVER_UNAVAILABLE": 503,
    "PORT_IN_USE": 400,
    "MIGRATION_CONFLICT": 409,
    "SEQUENCE_GAP": 409,
    "NO_FORECAST": 404,
    "NO_PLAN": 404,
    "MOVED": 409,
    "STALE_EPOCH": 409,
    "LEASE_EXPIRED": 409,
    "NOT_THE_OWNER": 409,
    "NOT_THE_HOLDER": 409,
    "ROLLED_BACK": 409,
    "OUTCOME_UNKNOWN": 503,
}


def _leaves(kind):
    below = kind.__subclasses__()
    return {kind} if not below else set().union(*(_leaves(each) for each in below))


def test_every_error_class_is_covered():
    """The table below holds every concrete error of the project, so none is forgotten when one is added."""
    ours = {kind for kind in _leaves(errors.PlbError) if kind.__module__ == errors.__name__}
    assert ours == {type(each) for each in INSTANCES}


@pytest.mark.parametrize("error", INSTANCES, ids=lambda error: error.reason)
async def test_every_error_is_a_problem_document(http, balancer, error):
    """Each error class gets its status, its code, its sentence, and Retry-After exactly when repeating may help."""
    balancer.failing["status"] = error
    response = await http.get("/v1/status")
    body = response.json()
    assert response.status_code == body["status"] == status_of(error) == EXPECTED[error.reason]
    assert response.headers["content-type"] == "application/problem+json"
    assert (body["reason"], body["detail"], body["instance"]) == (error.reason, str(error), "/v1/status")
    assert body["type"].startswith("urn:plb-ray:problem:")
    may_repeat = isinstance(error, errors.RetryableError | errors.OutcomeUnknownError)
    assert ("retry-after" in response.headers) == may_repeat == ("retry_after_s" in body)


def test_retry_after_is_rounded_up():
    """A pause of 2.5 s is worth asking again after 3 s, and never after 0."""
    assert retry_after_s(errors.PausedError("a", 2500)) == 3
    assert retry_after_s(errors.PausedError("a", 0)) == 1


async def test_unexpected_failure_shows_no_inside(http, balancer):
    """A bug is a 500 problem without the exception's text or a traceback."""
    balancer.failing["status"] = RuntimeError("secret detail")
    response = await http.get("/v1/status")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reason"] == "UNEXPECTED"
    assert "secret" not in response.text
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/dashboard/nothing.js", 404),
        ("DELETE", "/v1/status", 405),
        ("GET", "/v1/allocations?limit=0", 422),
        ("GET", "/v1/allocations?offset=-1", 422),
        ("GET", "/v1/forecasts/JFK-LAX?horizon=long", 422),
        ("GET", "/v1/migrations?limit=1001", 422),
        ("GET", "/v1/forecasts/", 404),
        ("GET", "/v1/audit:export?who=ann&who=bob", 422),
        ("GET", "/v1/allocations?limit=1&limit=2", 422),
    ],
)
async def test_wrong_requests_are_problem_documents(http, method, path, status):
    """Paths, methods and parameters that do not fit are problem documents as well."""
    response = await http.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]


async def test_what_may_be_given_several_times_may(http):
    """Plans in any of several states; a parameter that nobody knows is passed over, as it is when given once."""
    assert (await http.get("/v1/plans?state=saved&state=approved")).status_code == 200
    assert (await http.get("/v1/status?x=1&x=2")).status_code == 200


async def test_invalid_fields_are_named(http):
    """A schema violation names each field and what is wrong with it."""
    faults = (await http.get("/v1/allocations?limit=0&offset=x")).json()["errors"]
    assert [fault["where"] for fault in faults] == ["query.limit", "query.offset"]


async def test_body_that_is_not_json(http):
    """A body that is not JSON is a 422 problem, not a crash."""
    response = await http.post("/v1/migrations", content=b"{nope", headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["reason"]) == (422, "INVALID_REQUEST")


async def test_two_apps_live_side_by_side(balancer):
    """Metrics live in the application's own registry; a second application in the process is no conflict."""
    assert create_app(balancer).state.metrics is not create_app(balancer).state.metrics


async def test_body_that_is_no_text(http):
    """A body that is not even UTF-8 is a 422 problem as well."""
    response = await http.post("/v1/migrations", content=b"\xff\xfe", headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["reason"]) == (422, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/migrations", "GET, POST"),
        ("/v1/balancer", "GET, PATCH"),
        ("/v1/tokens/x", "DELETE"),
        ("/v1/migrations/a%2Fb/cancel", "POST"),
        ("/v1/status", "GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(http, path, allow):
    """405 names every method of the path, whichever of its routes comes first."""
    response = await http.request("OPTIONS", path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
