"""Who may call what: every route, with every role, and what browsers and busy callers are told."""

from __future__ import annotations

from collections import Counter

import httpx
import pytest
from fake_balancer import FakeBalancer
from guarded import Guarded

from service.api.access import TABLE, UNLISTED, access_to
from service.api.app import MODULES, create_app
from service.api.guard import Rules
from service.api.platform import Platform
from service.auth.buckets import Buckets
from service.auth.roles import Role

ROUTES = sorted(
    (method, route.path_format) for module in MODULES for route in module.router.routes for method in route.methods
)
SUBSTITUTES = {"{number}": "7", "{plan_id}": "p-1", "{horizon}": "short"}


def path_of(template):
    """Return a path that the route takes; what it names need not exist."""
    for name, value in SUBSTITUTES.items():
        template = template.replace(name, value)
    return "/".join("x" if part.startswith("{") else part for part in template.split("/"))


@pytest.fixture
def guarded(tmp_path, balancer):
    return Guarded(tmp_path, balancer)


def test_every_route_is_in_the_table_and_nothing_else():
    """A new route must be given a role; one that has gone leaves no line behind."""
    assert sorted(TABLE) == ROUTES


def test_what_is_not_in_the_table_is_for_admins():
    """Forgetting a route opens nothing."""
    assert access_to("POST", "/v1/forgotten") is UNLISTED
    assert UNLISTED.role is Role.ADMIN


def test_what_changes_something_needs_an_operator_and_is_noted():
    """Only logins are for everybody; a read, or a question asked by POST, changes nothing and needs a viewer."""
    for (method, path), access in TABLE.items():
        if path == "/v1/session" or path in {"/healthz", "/readyz"}:
            assert access.role is None
        elif access.action:
            assert method != "GET"
            assert access.role.covers(Role.OPERATOR), path
        else:
            assert method == "GET" or path in {"/v1/plans:dry-run", "/v1/capacity:what-if"}
            assert access.role is (Role.ADMIN if path == "/v1/tokens" else Role.VIEWER)


def test_actions_have_names_of_their_own():
    """The audit log tells two routes apart."""
    names = Counter(access.action for access in TABLE.values() if access.action)
    assert max(names.values()) == 1


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_each_role_gets_what_is_its_own(guarded, method, path):
    """Without a credential: 401. With a role that is too low: 403. With one that is enough: whatever the route says."""
    needed = TABLE[method, path].role
    for role in (None, *Role):
        async with guarded.client(role) as http:
            response = await http.request(method, path_of(path))
        if needed is None:
            assert response.status_code not in {401, 403}
        elif role is None:
            assert (response.status_code, response.json()["reason"]) == (401, "UNAUTHENTICATED")
            assert response.headers["www-authenticate"].startswith("Bearer")
        elif not role.covers(needed):
            assert (response.status_code, response.json()["reason"]) == (403, "FORBIDDEN")
            assert needed.value in response.json()["detail"]
        else:
            assert response.status_code not in {401, 403}


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/status/more"])
async def test_nobody_learns_what_there_is(guarded, path):
    """A path of the API that no route takes is 401 as well, and 404 for those who may look."""
    async with guarded.client() as http:
        assert (await http.get(path)).status_code == 401
    async with guarded.client(Role.VIEWER) as http:
        assert (await http.get(path)).status_code == 404


async def test_the_dashboard_and_the_document_are_open(guarded):
    """The dashboard's files and the description of the API hold no data of anybody's."""
    async with guarded.client() as http:
        assert (await http.get("/dashboard/style.css")).status_code == 200
        assert (await http.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Bearer nonsense", "UNKNOWN_TOKEN"),
        ("Bearer plb_00000000_xxxx", "UNKNOWN_TOKEN"),
        ("Bearer a.b.c", "UNKNOWN_TOKEN"),
        ("Bearer", "UNAUTHENTICATED"),
        ("Basic YTpi", "UNAUTHENTICATED"),
        ("Token abc", "UNAUTHENTICATED"),
    ],
)
async def test_wrong_credentials_are_refused_with_a_reason(guarded, header, reason):
    """The problem document says which way it is wrong, and never repeats what was shown."""
    async with guarded.client(Authorization=header) as http:
        response = await http.get("/v1/status")
    assert (response.status_code, response.json()["reason"]) == (401, reason)
    assert header.partition(" ")[2] not in response.text or header == "Bearer"


async def test_a_revoked_token_opens_nothing_from_the_next_request_on(guarded):
    """No restart, no waiting."""
    async with guarded.client(Role.VIEWER) as http:
        assert (await http.get("/v1/status")).status_code == 200
        guarded.store.revoke("viewer")
        response = await http.get("/v1/status")
    assert (response.status_code, response.json()["reason"]) == (401, "TOKEN_REVOKED")


async def test_wrong_credentials_are_throttled_and_right_ones_are_not(tmp_path, balancer):
    """After so many wrong ones an address gets 429 for more of them; who shows a right one is let in all the same."""
    guarded = Guarded(tmp_path, balancer, failures=Buckets(1 / 60, 3, lambda: 0.0))
    async with guarded.client(Authorization="Bearer wrong") as http:
        answers = [await http.get("/v1/status") for _ in range(5)]
    assert [each.status_code for each in answers] == [401, 401, 401, 429, 429]
    assert answers[-1].json()["reason"] == "TOO_MANY_FAILURES"
    assert answers[-1].headers["retry-after"] == "60"
    async with guarded.client(Role.VIEWER) as http:
        assert (await http.get("/v1/status")).status_code == 200


async def test_each_caller_has_a_rate_of_its_own(tmp_path, balancer):
    """Who asks too much gets 429 with Retry-After; others are not touched by it."""
    guarded = Guarded(tmp_path, balancer, rates=Buckets(0.5, 2, lambda: 0.0))
    async with guarded.client(Role.VIEWER) as http:
        answers = [await http.get("/v1/status") for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert (answers[-1].json()["reason"], answers[-1].headers["retry-after"]) == ("RATE_LIMITED", "2")
    async with guarded.client(Role.ADMIN) as http:
        assert (await http.get("/v1/status")).status_code == 200


async def test_large_bodies_are_refused(tmp_path, balancer):
    """With a length at once; without one as soon as it is too much."""
    guarded = Guarded(tmp_path, balancer, body_bytes_max=1000)

    async def endless():
        for _ in range(100):
            yield b"x" * 100

    async with guarded.client(Role.OPERATOR, **{"Content-Type": "application/json"}) as http:
        known = await http.post("/v1/migrations", content=b"x" * 2000)
        unknown = await http.post("/v1/migrations", content=endless())
    assert (known.status_code, known.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert unknown.status_code == 413
    assert unknown.headers["content-type"] == "application/problem+json"


# Logins


async def test_a_login_by_cookie(guarded):
    """A token makes a cookie that scripts cannot read and other sites cannot use; logging out ends it."""
    async with guarded.client() as http:
        before = (await http.get("/v1/session")).json()
        login = await http.post("/v1/session", json={"token": guarded.tokens[Role.OPERATOR]})
        cookie = login.headers["set-cookie"]
        assert all(part in cookie for part in ("plb_session=", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))
        assert guarded.tokens[Role.OPERATOR].split("_")[2] not in cookie
        assert (await http.get("/v1/status")).status_code == 200
        after = (await http.get("/v1/session")).json()
        await http.delete("/v1/session", headers={"X-PLB-Dashboard": "1"})
        assert (await http.get("/v1/status")).status_code == 401
    assert (before["authentication"], before["name"]) == (True, None)
    assert (after["name"], after["role"]) == ("operator", "operator")


async def test_a_wrong_token_does_not_log_in(guarded):
    """It is 401 with the reason, and no cookie."""
    async with guarded.client() as http:
        response = await http.post("/v1/session", json={"token": "plb_00000000_wrong"})
    assert (response.status_code, response.json()["reason"]) == (401, "UNKNOWN_TOKEN")
    assert "set-cookie" not in response.headers


async def test_a_login_ends_with_its_token(guarded):
    """Revoking a token ends every login by it."""
    async with guarded.client() as http:
        await http.post("/v1/session", json={"token": guarded.tokens[Role.VIEWER]})
        guarded.store.revoke("viewer")
        assert (await http.get("/v1/status")).json()["reason"] == "TOKEN_REVOKED"


async def test_a_cookie_alone_changes_nothing(guarded, balancer):
    """Browsers send cookies for every site, so a change by cookie needs the header that only our pages send."""
    body = {"kind": "match", "name": "Derby", "start": "2013-11-28T00:00:00Z", "end": "2013-11-28T02:00:00Z"}
    async with guarded.client() as http:
        await http.post("/v1/session", json={"token": guarded.tokens[Role.OPERATOR]})
        without = await http.post("/v1/events", json=body)
        held = await http.post("/v1/events", json=body, headers={"X-PLB-Dashboard": "1"})
    assert (without.status_code, without.json()["reason"]) == (403, "CROSS_SITE")
    assert held.status_code == 200


async def test_a_secure_cookie_over_https(guarded):
    """Over HTTPS the cookie is never sent without it."""
    transport = httpx.ASGITransport(guarded.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://plb") as http:
        login = await http.post("/v1/session", json={"token": guarded.tokens[Role.VIEWER]})
    assert "Secure" in login.headers["set-cookie"]


# Authentication is off


async def test_everybody_is_anonymous_while_authentication_is_off(http):
    """Nothing is asked, and the session says so; there are no tokens to list."""
    assert (await http.get("/v1/session")).json() == {
        "authentication": False,
        "name": "anonymous",
        "role": "admin",
        "until": None,
    }
    refused = await http.get("/v1/tokens")
    assert (refused.status_code, refused.json()["reason"]) == (409, "AUTHENTICATION_OFF")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_other_sites_change_nothing_while_authentication_is_off(http, site):
    """A page of another site, open in a browser of this machine, can start nothing here."""
    response = await http.post("/v1/plans:dry-run", headers={"Sec-Fetch-Site": site})
    assert (response.status_code, response.json()["reason"]) == (403, "CROSS_SITE")
    assert (await http.post("/v1/plans:dry-run", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:8080", 200), ("localhost:8080", 200), ("[::1]:8080", 200), ("evil.example", 403)]
)
async def test_other_names_are_refused_while_authentication_is_off(balancer, host, status):
    """A site that points its own name at this machine (DNS rebinding) is refused by the name."""
    app = create_app(balancer, platform=Platform(Rules(local_names_only=True)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        response = await http.get("/v1/status", headers={"Host": host})
    assert response.status_code == status


# The document


def test_the_document_says_what_is_asked(guarded):
    """With authentication on each guarded operation names it, its role, 401 and 403; with it off none does."""
    document = guarded.app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"token", "login"}
    for (method, path), access in TABLE.items():
        operation = document["paths"][path][method.lower()]
        assert ("security" in operation) == (access.role is not None)
        if access.role is not None:
            assert {"401", "403", "429"} <= set(operation["responses"])
            assert operation["description"].endswith(f"Needs the role {access.role.value}.")
    assert guarded.app.openapi() is document
    assert "securitySchemes" not in create_app(FakeBalancer()).openapi()["components"]
