"""Reads that cost nothing when nothing has changed: answers kept for a moment, and ETags. As ASGI middleware.

An answer to a read is kept for `keep_s` and given to whoever asks the same meanwhile, so that the control loop is asked once
and not once per request; those who ask at the same time wait for one answer. What is changed through this process shows at
once: every change lets go of all that is kept. What others change (the loop's own ticks, another process) shows when the
answer is older than `keep_s`.

Each answer has an ETag, a hash of its body: with If-None-Match an unchanged one is 304, without a body.

Never kept: what must be true now (health, readiness), what depends on the caller (session, tokens), and what has no end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING

from service.api.guard import SAFE
from service.api.messages import Answer, whole_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

KEPT_MAX = 1000
KEPT_BYTES_MAX = 64_000_000
CACHE_CONTROL = (b"cache-control", b"private, no-cache")
PER_CALLER = ("/v1/session", "/v1/tokens")
ENDLESS = (":export", "/events")

Key = tuple[str, bytes]


@dataclass(frozen=True)
class _Kept:
    answer: Answer
    at_s: float


class Snapshots:
    """Stands before the routes, behind whatever decides who may see their answers.

    Args:
        keep_s: how old an answer may be; 0: each is asked for anew, and has its ETag all the same.
        now_s: a clock that only goes forward.
        changed: called when something was changed through this process.
    """

    def __init__(self, app: ASGIApp, keep_s: float, now_s: Callable[[], float], changed: Callable[[], None]) -> None:
        self._app = app
        self._changed = changed
        self._keep_s = keep_s
        self._now_s = now_s
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._coming: dict[Key, asyncio.Future[Answer]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE:
            await self._change(scope, receive, send)
        elif scope["type"] != "http" or scope["method"] != "GET" or not is_snapshot(scope["path"]):
            await self._app(scope, receive, send)
        else:
            answer = await self._answer(scope, receive)
            await _unless_known(answer, scope).send(send)

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a change on; what was read before it, or while it went on, counts no more."""
        try:
            await self._app(scope, receive, send)
        finally:
            self._changed()
            self._kept.clear()
            self._coming.clear()
            self._bytes = 0

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if not self._keep_s:
            return _tagged(await whole_answer(self._app, scope, receive))
        key = (scope["path"], scope.get("query_string", b""))
        kept = self._kept.get(key)
        if kept is not None and self._now_s() - kept.at_s < self._keep_s:
            return kept.answer
        coming = self._coming.get(key)
        if coming is None:
            return await self._ask(key, scope, receive)
        try:
            return await asyncio.shield(coming)
        except asyncio.CancelledError:
            if coming.cancelled():  # the one that asked has gone away: ask ourselves
                return await self._answer(scope, receive)
            raise

    async def _ask(self, key: Key, scope: Scope, receive: Receive) -> Answer:
        """Ask the application on behalf of all who want the same."""
        coming = self._coming[key] = asyncio.get_running_loop().create_future()
        asked_s = self._now_s()
        try:
            answer = _tagged(await whole_answer(self._app, scope, receive))
        except BaseException:
            coming.cancel()
            raise
        else:
            coming.set_result(answer)
            if self._coming.get(key) is coming and answer.status == HTTPStatus.OK:  # nothing was changed meanwhile
                self._keep(key, _Kept(answer, asked_s))
            return answer
        finally:
            if self._coming.get(key) is coming:
                del self._coming[key]

    def _keep(self, key: Key, kept: _Kept) -> None:
        self._drop(key)
        self._kept[key] = kept
        self._bytes += len(kept.answer.body)
        while len(self._kept) > KEPT_MAX or self._bytes > KEPT_BYTES_MAX:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.answer.body)


def is_snapshot(path: str) -> bool:
    """Return whether the answer to a GET of this path may be kept and has an ETag."""
    return path.startswith("/v1/") and not path.startswith(PER_CALLER) and not _is_endless(path)


def _is_endless(path: str) -> bool:
    """Return whether an answer may be one that goes on; names may hold anything, so a name like that is not kept either."""
    return path.endswith(ENDLESS) and path != "/v1/events"


def _tagged(answer: Answer) -> Answer:
    if answer.status != HTTPStatus.OK:
        return answer
    tag = b'"' + blake2b(answer.body, digest_size=12).hexdigest().encode() + b'"'
    return Answer(answer.status, [*answer.raw, (b"etag", tag), CACHE_CONTROL], answer.body)


def _unless_known(answer: Answer, scope: Scope) -> Answer:
    """Return 304 instead of an answer that the caller has already."""
    known = b",".join(value for name, value in scope["headers"] if name == b"if-none-match").decode("latin-1")
    if not known or (tag := answer.headers.get("etag")) is None:
        return answer
    tags = {each.strip().removeprefix("W/") for each in known.split(",")}
    if tag not in tags and "*" not in tags:
        return answer
    kept = [(name, value) for name, value in answer.raw if name in (b"etag", b"cache-control")]
    return Answer(HTTPStatus.NOT_MODIFIED, kept, b"")
