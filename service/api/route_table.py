"""Which route takes a request: found once, among those whose path begins alike, and not by asking all of them twice.

The guard has to know the route before FastAPI does, since the route says who may call it. FastAPI then takes what was found
here (`KnownRoute`), and looks itself only for what is not of the API: the dashboard's files, and paths that no route takes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Match

from service.api.given_once import require_given_once, single_valued

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi.routing import APIRoute
    from starlette.types import Receive, Scope, Send

FOUND, SINGLE = "plb.route", "plb.single_valued"


class RouteTable:
    """The API's routes by the first two parts of their paths, which none of them takes from the caller."""

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        self._by_head: dict[str, list[tuple[APIRoute, frozenset[str]]]] = defaultdict(list)
        for route in routes:
            head = _head(route.path_format)
            assert "{" not in head, f"{route.path_format} begins with what the caller names"
            self._by_head[head].append((route, single_valued(route)))

    def find(self, scope: Scope) -> tuple[APIRoute | None, list[APIRoute]]:
        """Return the route that takes a request, and those before it that would with another method.

        What FastAPI needs to go on with is left in the scope.
        """
        other: list[APIRoute] = []
        for route, single in self._by_head.get(_head(scope["path"]), ()):
            match, found = route.matches(scope)
            if match is Match.PARTIAL:
                other.append(route)
            if match is Match.FULL:
                scope[FOUND], scope[SINGLE] = found, single
                return route, other
        return None, other


class KnownRoute(BaseRoute):
    """Stands before all routes of the application, and is the one that the table has found, if it has found one."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Starlette."""
        found = scope.get(FOUND)
        return (Match.NONE, {}) if found is None else (Match.FULL, found)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        require_given_once(scope[SINGLE], scope)
        await scope["route"].handle(scope, receive, send)


def _head(path: str) -> str:
    return "/".join(path.split("/", 3)[:3])
