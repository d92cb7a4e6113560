from __future__ import annotations

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from service.api.app import MODULES
from service.api.route_table import FOUND, RouteTable

ROUTES = [route for module in MODULES for route in module.router.routes]
NAMES = ("x", "a/b", "x/events", "x/cancel", "a//b", "", "champion", "7")
TEMPLATES = sorted({route.path_format for route in ROUTES})
PATHS = sorted(
    {"/".join(name if part.startswith("{") else part for part in path.split("/")) for path in TEMPLATES for name in NAMES}
)


def scope_of(method, path):
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


def asked_one_after_the_other(scope):
    """Return what the table must: the first route that takes it, and those before it that take its path."""
    other = []
    for route in ROUTES:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return route, other
        if match is Match.PARTIAL:
            other.append(route)
    return None, other


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_the_table_finds_what_asking_every_route_finds(method):
    """For every path of the API, with names that hold slashes and words of other paths, and for paths that there are not."""
    table = RouteTable(ROUTES)
    for path in (*PATHS, "/", "", "/v1", "/v1/", "/v1/nothing", "/dashboard/", "/v1/status/"):
        assert table.find(scope_of(method, path)) == asked_one_after_the_other(scope_of(method, path)), path


def test_what_fastapi_goes_on_with_is_in_the_scope():
    """What the caller named is there, decoded as the route decodes it; without a route there is nothing."""
    table, scope, other = RouteTable(ROUTES), scope_of("GET", "/v1/forecasts/a/b"), scope_of("GET", "/v1/nothing")
    table.find(scope)
    table.find(other)
    assert scope[FOUND]["path_params"] == {"order_param": "a/b"}
    assert FOUND not in other


def test_a_route_that_begins_with_a_name_is_our_mistake():
    """Such a route could not be found by the beginning of its path."""
    with pytest.raises(AssertionError, match="begins with what the caller names"):
        RouteTable([APIRoute("/{tenant}/status", lambda: None)])
