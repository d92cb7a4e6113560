"""Makes a request a piece of work with an id in the log, and a span if it is traced. ASGI middleware, inside `RequestIds`.

A caller's `traceparent` is gone on with. Health checks, metrics and the dashboard's files are not traced. What changes
something, and what fails on our side, is a line in the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from plb_ray.clock import monotonic_s
from plb_ray.context import named
from plb_ray.tracing import SERVER, joined, span, tracing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from plb_ray.tracing import Span

LOG = logging.getLogger("plb.api")
API = "/v1/"
READS = ("GET", "HEAD", "OPTIONS")
SERVER_ERROR = 500


class RequestContext:
    """See the module."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        with named(request=scope.get("state", {}).get("request_id", "-")):
            if not tracing():
                await self._observed(scope, receive, send, None)
                return
            kept = joined(dict(Headers(scope=scope)))
            with kept, span(f"{scope['method']} {API}", SERVER, http__request__method=scope["method"]) as here:
                await self._observed(scope, receive, send, here)

    async def _observed(self, scope: Scope, receive: Receive, send: Send, here: Span | None) -> None:
        started_s = monotonic_s()

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                _log(scope, status, monotonic_s() - started_s)
                if here is not None:
                    _name(here, scope, status)
            await send(message)

        await self._app(scope, receive, watched_send)


def _log(scope: Scope, status: int, seconds: float) -> None:
    method = scope["method"]
    if method not in READS or status >= SERVER_ERROR:
        level = logging.WARNING if status >= SERVER_ERROR else logging.INFO
        LOG.log(level, "%s %s answered %d in %.0f ms", method, _route(scope), status, seconds * 1000)


def _name(here: Span, scope: Scope, status: int) -> None:
    """Call the span after its route, of which there are few, not after its path."""
    here.name(f"{scope['method']} {_route(scope)}")
    here.note(http__route=_route(scope), http__response__status_code=status)
    here.note(request__id=scope.get("state", {}).get("request_id"))


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "other")
