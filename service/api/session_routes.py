"""Logins to the dashboard in API v1: a token is shown once and a cookie stands for it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request, Response

from service.api import caller_schemas, examples
from service.api.caller_schemas import Session, SessionStart
from service.api.deps import CallerDep, NowDep
from service.api.guard import COOKIE, Rules, shown_by, unauthorized
from service.auth.gate import TooManyFailuresError
from service.auth.roles import ANONYMOUS, CredentialError

if TYPE_CHECKING:
    from service.auth.roles import Caller

router = APIRouter(prefix="/v1", tags=["callers"])


@router.get("/session", summary="Who am I?", responses=examples.ok(caller_schemas.SESSION))
async def get_session(request: Request, caller: CallerDep) -> Session:
    """Name and role of the caller, by whatever credential the request carries; without one, or with a wrong one, nulls."""
    return _session(_rules(request), caller)


@router.post("/session", summary="Log in", responses=examples.ok(caller_schemas.SESSION, "unauthenticated", "invalid"))
async def post_session(request: Request, response: Response, body: SessionStart, now_s: NowDep) -> Session:
    """Takes a token and sets a cookie that stands for it until it ends, for at most `http.auth.session_hours`.

    Scripts of a page cannot read the cookie. Requests that change something and carry it need the header X-PLB-Dashboard
    as well, which no other site can make a browser send.
    """
    rules = _rules(request)
    caller = ANONYMOUS
    if rules.gate.sessions is not None:
        caller = await _known(rules, request, body.token.get_secret_value())
        value, until_s = rules.gate.sessions.begin(caller)
        secure = request.url.scheme == "https"
        age_s = max(0, int(until_s - now_s))
        response.set_cookie(COOKIE, value, max_age=age_s, path="/", secure=secure, httponly=True, samesite="strict")
    request.state.caller = caller  # for the audit log
    return _session(rules, caller)


@router.delete("/session", summary="Log out", responses=examples.ok(caller_schemas.NO_SESSION))
async def delete_session(request: Request, response: Response) -> Session:
    """Lets the browser forget the login. To end a login everywhere, revoke its token."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return _session(_rules(request), ANONYMOUS)


async def _known(rules: Rules, request: Request, token: str) -> Caller:
    try:
        return await rules.gate.caller_of(shown_by(request, token))
    except (CredentialError, TooManyFailuresError) as error:
        raise unauthorized(error) from error


def _rules(request: Request) -> Rules:
    return cast("Rules", request.app.state.rules)


def _session(rules: Rules, caller: Caller) -> Session:
    if caller is ANONYMOUS and not rules.gate.is_open:
        return Session(authentication=True, name=None, role=None, until=None)
    return Session(authentication=not rules.gate.is_open, name=caller.name, role=caller.role, until=caller.until_s)
