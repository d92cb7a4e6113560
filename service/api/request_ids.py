"""An id for every request, so that an answer, the log and the caller's own log can be brought together. As ASGI middleware.

The caller's `X-Request-Id` is taken over if it is printable and short; otherwise one is made. The answer carries it, once:
Ray Serve puts the id that it finds into the answer. So `RequestIds` does not, and `OneRequestId` stands before Serve.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
USABLE = re.compile(r"[\x21-\x7e]{1,128}")


def new_id() -> str:
    """Return an id that nobody else has."""
    return secrets.token_hex(8)


class RequestIds:
    """Sets `scope["state"]["request_id"]` and the header of the answer.

    Args:
        app: what answers.
        make: gives a new id.
        echo: whether the header is set here; Ray Serve sets it itself.
    """

    def __init__(self, app: ASGIApp, make: Callable[[], str] = new_id, *, echo: bool = True) -> None:
        self._app = app
        self._make = make
        self._echo = echo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope) or self._make()
        scope.setdefault("state", {})["request_id"] = request_id

        async def named_send(message: Message) -> None:
            if self._echo and message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, named_send)


class OneRequestId:
    """Gives a request exactly one id, the caller's if it is usable, before Ray Serve looks at it."""

    def __init__(self, app: ASGIApp, make: Callable[[], str] = new_id) -> None:
        self._app = app
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request_id = _id_of(scope) or self._make()
            others = [(name, value) for name, value in scope["headers"] if name != HEADER.lower().encode()]
            scope["headers"] = [*others, (HEADER.lower().encode(), request_id.encode())]
        await self._app(scope, receive, send)


def _id_of(scope: Scope) -> str:
    """Return the caller's id; empty if there is none that is usable."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if USABLE.fullmatch(given) else ""
