"""Notes in the audit log who changed what over HTTP, before the caller gets the answer. As ASGI middleware.

The table of `access` says which routes change something and what that is called. Refusals for want of a role are noted as
well; wrong credentials are not, since nobody is known to have shown them: they are counted and throttled. When the log
cannot be written the change has happened all the same, so the answer is given and the entry goes to the service's log.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from plb_ray.domain.audit import AuditEntry
from plb_ray.errors import PlbError
from service.api.guard import SAFE
from service.api.messages import Answer, whole_answer
from service.auth.roles import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from plb_ray.control.views import Balancer

LOG = logging.getLogger("service.audit")
NOBODY_KNOWN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
TARGET_MAX, DETAIL_MAX = 300, 500


class AuditTrail:
    """Stands before `Guard`, which finds out who calls."""

    def __init__(self, app: ASGIApp, balancer: Balancer, now_s: Callable[[], float]) -> None:
        self._app = app
        self._balancer = balancer
        self._now_s = now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE:
            await self._app(scope, receive, send)
            return
        answer = Answer()
        try:
            answer = await whole_answer(self._app, scope, receive)
        finally:  # a bug in a route is an answer of 500, made further out
            await self._note(scope.get("state", {}), answer)
        await answer.send(send)

    async def _note(self, state: dict[str, Any], answer: Answer) -> None:
        access = state.get("access")
        if access is None or not access.action or answer.status in NOBODY_KNOWN:
            return
        if answer.status < HTTPStatus.BAD_REQUEST and not access.noted:
            return
        caller = state.get("caller", ANONYMOUS)
        entry = AuditEntry(
            number=0,
            at_s=self._now_s(),
            who=caller.name,
            role=caller.role.value,
            action=access.action,
            target=_target(state, answer),
            outcome=_outcome(state, answer),
            detail=_detail(state, answer),
        )
        try:
            await self._balancer.note(entry)
        except PlbError as error:
            LOG.error("the audit log cannot be written (%s); the entry was %s", error, entry)  # noqa: TRY400  no traceback


def _target(state: dict[str, Any], answer: Answer) -> str:
    """Return what was acted upon: what the path names, or what was made."""
    named = state.get("path_params", {}).values()
    made = unquote(answer.headers.get("location", "").rpartition("/")[2])
    return str(next(iter(named), "") or made)[:TARGET_MAX]


def _outcome(state: dict[str, Any], answer: Answer) -> str:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return "repeated" if state.get("repeated") else "done"
    return f"{answer.status} {_problem(answer).get('reason', '')}".strip()


def _detail(state: dict[str, Any], answer: Answer) -> str:
    why = _problem(answer).get("detail", "") if answer.status >= HTTPStatus.BAD_REQUEST else ""
    asked = f"request {state['request_id']}" if "request_id" in state else ""
    return "; ".join(part for part in (str(why)[:DETAIL_MAX], asked) if part)


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
