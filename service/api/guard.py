"""The door of the API: who calls, may they, do they ask too much, and does their browser mean it. As ASGI middleware.

It stands before the body is read and before FastAPI looks at a request, so that nobody makes us parse anything unasked.

What is refused, in this order:

    403 FOREIGN_HOST        authentication is off, and the name in Host is not this machine's: another site has pointed its
                            own name here (DNS rebinding)
    401 UNAUTHENTICATED...  no credential, or one that is not accepted; `reason` says why
    429 TOO_MANY_FAILURES   the address has shown too many wrong credentials
    403 CROSS_SITE          a browser asks on behalf of another site, or by the cookie alone
    403 FORBIDDEN           the caller's role does not allow it
    429 RATE_LIMITED        the caller asks too much
    413 BODY_TOO_LARGE
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from plb_ray.errors import PlbError
from service.api.access import Access, access_to
from service.api.problems import problem_response, retry_after_s, status_of
from service.api.route_table import FOUND, RouteTable
from service.auth.buckets import Buckets, whole_s
from service.auth.gate import Gate, Shown, TooManyFailuresError
from service.auth.roles import ANONYMOUS, Caller, CredentialError, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi.responses import JSONResponse
    from fastapi.routing import APIRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "plb_session"
DASHBOARD_HEADER = "x-plb-dashboard"
FOREIGN_SITES = frozenset({"cross-site", "same-site"})
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="plb-ray"'}
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Rules:
    """How the door is kept.

    Attributes:
        gate: tells who calls.
        rates: how much each caller may ask.
        body_bytes_max: largest body.
        local_names_only: refuse names that are not this machine's, while authentication is off.
    """

    gate: Gate = field(default_factory=Gate)
    rates: Buckets = field(default_factory=lambda: Buckets(0, 1))
    body_bytes_max: int = 64 * MEGABYTE
    local_names_only: bool = False


class RefusedError(Exception):
    """What the caller gets instead of what it asked for."""

    def __init__(self, status: HTTPStatus, reason: str, detail: str, retry_s: int | None = None) -> None:
        super().__init__(status, reason, detail, retry_s)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_s = retry_s


def shown_by(request: Request, bearer: str = "", session: str = "") -> Shown:
    """Return what a request shows of its caller."""
    return Shown(bearer, session, _address(request))


def unauthorized(error: CredentialError | TooManyFailuresError) -> RefusedError:
    """Return the refusal of a credential that is not accepted."""
    if isinstance(error, TooManyFailuresError):
        retry_s = whole_s(error.retry_s)
        text = f"too many wrong credentials from your address; wait {retry_s} s"
        return RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_FAILURES", text, retry_s)
    return RefusedError(HTTPStatus.UNAUTHORIZED, error.reason, str(error))


class Guard:
    """Lets requests through to the application, with `scope["state"]["caller"]` and `["access"]` set.

    Args:
        app: what is guarded.
        routes: the API's; whatever else the application serves is open to everybody.
        rules: see there.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[APIRoute], rules: Rules) -> None:
        self._app = app
        self._routes = RouteTable(routes)
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        state = scope.setdefault("state", {})
        state["access"] = self._access(scope)
        try:
            await self._admit(request, state["access"])
        except (RefusedError, PlbError) as error:
            await refusal(request, error)(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive), send)

    def _access(self, scope: Scope) -> Access:
        """Return what the route asks that will take this request; a path of the API that no route takes tells nobody so."""
        route, other = self._routes.find(scope)
        if route is not None:
            scope["route"] = route
            scope["state"]["path_params"] = scope[FOUND].get("path_params", {})
            return access_to(scope["method"], route.path_format)
        scope["state"]["allow"] = _allow(other)
        return Access(Role.VIEWER if scope["path"].startswith("/v1") else None)

    async def _admit(self, request: Request, access: Access) -> None:
        self._check_host(request)
        request.state.caller = caller = await self._caller(request, access)
        if request.method not in SAFE:
            self._check_site(request)
        if access.role is not None and not caller.role.covers(access.role):
            raise _forbidden(caller, access.role)
        key = f"@{_address(request)}" if caller is ANONYMOUS else caller.name
        if retry_s := self._rules.rates.take(key):
            text = f"{key} asks more than http.limits.requests_per_s allows; wait {whole_s(retry_s)} s"
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "RATE_LIMITED", text, whole_s(retry_s))
        self._check_length(request)

    def _check_host(self, request: Request) -> None:
        if not self._rules.local_names_only:
            return
        host = _host(request.headers.get("host", "")) or request.url.hostname or ""
        if not _is_local(host):
            text = f"Host {host!r} is no name of this machine, and authentication is off; see docs/security.md"
            raise RefusedError(HTTPStatus.FORBIDDEN, "FOREIGN_HOST", text)

    async def _caller(self, request: Request, access: Access) -> Caller:
        try:
            return await self._rules.gate.caller_of(shown_by(request, _bearer(request), request.cookies.get(COOKIE, "")))
        except (CredentialError, TooManyFailuresError) as error:
            if access.role is None:
                return ANONYMOUS
            raise unauthorized(error) from error

    def _check_site(self, request: Request) -> None:
        """Browsers add cookies, and reach this machine, for every site; only our own pages can send our header."""
        if _bearer(request):
            return
        foreign = request.headers.get("sec-fetch-site", "") in FOREIGN_SITES
        by_cookie = COOKIE in request.cookies and not self._rules.gate.is_open
        if foreign or (by_cookie and DASHBOARD_HEADER not in request.headers):
            text = "this request seems to come from another site's page; send X-PLB-Dashboard: 1 with a login's cookie"
            raise RefusedError(HTTPStatus.FORBIDDEN, "CROSS_SITE", text)

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._rules.body_bytes_max:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", self._too_large)

    @property
    def _too_large(self) -> str:
        return f"the body has more than {self._rules.body_bytes_max} bytes; send it in parts"

    def _bounded(self, receive: Receive) -> Receive:
        """Return a `receive` that ends a body without a length when it gets too large."""
        left = self._rules.body_bytes_max

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return bounded


def _allow(routes: list[APIRoute]) -> str:
    """Return the methods of a path, as Allow states them: those of the routes that say most about it."""
    depth = max((route.path_format.count("/") for route in routes), default=0)
    return ", ".join(sorted({name for route in routes if route.path_format.count("/") == depth for name in route.methods}))


def refusal(request: Request, error: Exception) -> JSONResponse:
    """Return the answer to a request that is refused. Takes a RefusedError or a PlbError."""
    if isinstance(error, PlbError):
        return problem_response(request, status_of(error), error.reason, str(error), retry_s=retry_after_s(error))
    assert isinstance(error, RefusedError)
    response = problem_response(request, error.status, error.reason, error.detail, retry_s=error.retry_s)
    if error.status is HTTPStatus.UNAUTHORIZED:
        response.headers.update(CHALLENGE)
    return response


def _forbidden(caller: Caller, needed: Role) -> RefusedError:
    text = f"{caller.name!r} is {caller.role.value}; this needs {needed.value}"
    return RefusedError(HTTPStatus.FORBIDDEN, "FORBIDDEN", text)


def _bearer(request: Request) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def _address(request: Request) -> str:
    """Return where a request comes from. X-Forwarded-For is not believed: anybody can send it."""
    return request.client.host if request.client else "unknown"


@lru_cache(maxsize=1000)
def _host(named: str) -> str:
    """Return the name in a Host header, without the port; empty if there is none."""
    try:
        return urlsplit(f"//{named}").hostname or ""
    except ValueError:  # brackets that do not match
        return named


@lru_cache(maxsize=1000)
def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True  # an address cannot be another site's name
