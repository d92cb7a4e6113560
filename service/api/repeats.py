"""Idempotency keys: a request sent again with the same `Idempotency-Key` gets the answer of the first. As ASGI middleware.

It covers the POSTs that change something. Of each caller, path and key the first answer is kept for `KEEP_S` on disk, so
that it holds over a restart:

    same key, same body          the first answer, with `Idempotency-Replayed: true`; nothing is done again
    same key, another body       409 IDEMPOTENCY_KEY_REUSED
    same key, first still runs   409 IDEMPOTENCY_IN_PROGRESS with Retry-After

An answer that says "try again" (5xx, 429) is not kept, and the next one with the key is a first one. If the service dies in
the middle of a request, nobody knows what became of it: after `FORGET_RUNNING_S` its key is free again. Starting a migration
has more than that: its key is the migration's own id, which the journal keeps (see `migration_routes`), so it is left alone
here. Tokens are not kept: their secret would be.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request

from service.api.messages import Answer, whole_answer
from service.api.problems import problem_response
from service.api.repeat_store import Kept
from service.auth.roles import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.api.repeat_store import RepeatStore

HEADER = "idempotency-key"
USABLE = re.compile(r"[\x21-\x7e]{1,128}")
KEPT_HEADERS = frozenset({b"content-type", b"location"})
OWN_KEYS = frozenset({"/v1/migrations", "/v1/tokens", "/v1/session"})
KEEP_S = 24 * 3600.0
FORGET_RUNNING_S = 60.0


class Repeats:
    """Stands behind `Guard`, which says who calls and what.

    Args:
        store: keeps the answers.
        now_s: wall time.
    """

    def __init__(self, app: ASGIApp, store: RepeatStore, now_s: Callable[[], float]) -> None:
        self._app = app
        self._store = store
        self._now_s = now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key_of(scope)
        if key is None:
            await self._app(scope, receive, send)
        elif not USABLE.fullmatch(key):
            text = "Idempotency-Key: 1 to 128 printable characters without spaces"
            await problem_response(Request(scope), HTTPStatus.BAD_REQUEST, "BAD_INPUT", text)(scope, receive, send)
        else:
            await self._once(key, scope, receive, send)

    async def _once(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body_of(receive)
        caller = scope["state"].get("caller", ANONYMOUS).name
        place = _digest(caller, scope["path"], key)
        asked = _digest(scope.get("query_string", b"").decode("latin-1"), _digest(body))
        now_s = self._now_s()
        first = await self._store.begin(
            place, Kept(asked, now_s), not_before_s=now_s - KEEP_S, stuck_s=now_s - FORGET_RUNNING_S
        )
        if first is None:
            await self._first(place, asked, scope, _again(body, receive), send)
        elif first.asked != asked:
            text = f"Idempotency-Key {key!r} was used before, for another request; use a new one"
            await _conflict(scope, "IDEMPOTENCY_KEY_REUSED", text)(scope, receive, send)
        elif first.answer is None:
            text = f"the first request with Idempotency-Key {key!r} is still being answered; repeat in a moment"
            await _conflict(scope, "IDEMPOTENCY_IN_PROGRESS", text, retry_s=1)(scope, receive, send)
        else:
            scope["state"]["repeated"] = True
            replayed = [*first.answer.raw, (b"idempotency-replayed", b"true")]
            await Answer(first.answer.status, replayed, first.answer.body).send(send)

    async def _first(self, place: str, asked: str, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer()
        try:
            answer = await whole_answer(self._app, scope, receive)
        finally:
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                await self._store.forget(place)
            else:
                raw = [(name, value) for name, value in answer.raw if name in KEPT_HEADERS]
                await self._store.end(place, Kept(asked, self._now_s(), Answer(answer.status, raw, answer.body)))
        await answer.send(send)


def _key_of(scope: Scope) -> str | None:
    """Return the key of a request that is kept; None for all others."""
    if scope["type"] != "http" or scope["method"] != "POST" or not scope["state"]["access"].action:
        return None
    if scope["path"] in OWN_KEYS:
        return None
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == HEADER.encode()), None)


def _digest(*parts: str | bytes) -> str:
    """Return a hash of several parts; the lengths keep them apart."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "big") + data)
    return made.hexdigest()


async def _body_of(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _conflict(scope: Scope, reason: str, text: str, retry_s: int | None = None) -> ASGIApp:
    return problem_response(Request(scope), HTTPStatus.CONFLICT, reason, text, retry_s=retry_s)
