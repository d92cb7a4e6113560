"""A small client of API v1 for the command line. Errors of the service come out as errors of ours, with its own sentence."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from plb_ray.errors import BadInputError, PlbError, ServiceUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 35.0  # above the service's own longest wait, so that its sentence arrives
CONNECT_TIMEOUT_S = 3.0


class ServiceAnsweredError(PlbError):
    """The service answered with a problem document; `reason` is the code it gave, `status` HTTP's."""

    def __init__(self, reason: str, detail: str, status: int = 0) -> None:
        super().__init__(reason, detail, status)
        self.status = status
        self.reason = reason  # type: ignore[misc]  # of the answer, not of the class
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class Access:
    """How to be let in.

    Attributes:
        token: shown to the service; empty shows none.
        ca_file: certificates in PEM of who vouches for the service; None: those of the system.
    """

    token: str = field(default="", repr=False)
    ca_file: Path | None = None


class ServiceClient:
    """Asks one service. Use as a context manager.

    Args:
        url: of the service, for example `http://127.0.0.1:8080`.
        transport: for tests; None goes over the network.
        access: how to be let in; None: without a token.

    Raises:
        BadInputError: that is no URL, the token cannot be sent, or the certificates cannot be read.
    """

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, access: Access | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise BadInputError(f"--url {url!r} is not a URL of a service, for example {DEFAULT_URL}")
        self._url = url.rstrip("/")
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        access = access or Access()
        self._http = httpx.Client(
            transport=transport,
            timeout=timeout,
            trust_env=not _is_local(url),
            verify=_certificates(access.ca_file),
            headers=_credentials(access.token),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def status(self) -> dict[str, Any]:
        """Return GET /v1/status."""
        return self._ask("GET", "/v1/status")

    def forecast(self, order_param: str, horizon: str) -> dict[str, Any]:
        """Return GET /v1/forecasts/{order_param}."""
        return self._ask("GET", f"/v1/forecasts/{quote(order_param, safe='')}", params={"horizon": horizon})

    def migrations(self, limit: int, *, active: bool = False) -> dict[str, Any]:
        """Return GET /v1/migrations."""
        return self._ask("GET", "/v1/migrations", params={"limit": limit, "active": active})

    def migration(self, migration_id: str) -> dict[str, Any]:
        """Return GET /v1/migrations/{id}."""
        return self._ask("GET", f"/v1/migrations/{quote(migration_id, safe='')}")

    def migrate(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return POST /v1/migrations."""
        return self._ask("POST", "/v1/migrations", json=body)

    def cancel(self, migration_id: str) -> dict[str, Any]:
        """Return POST /v1/migrations/{id}/cancel."""
        return self._ask("POST", f"/v1/migrations/{quote(migration_id, safe='')}/cancel")

    def fleet(self) -> dict[str, Any]:
        """Return GET /v1/capacity."""
        return self._ask("GET", "/v1/capacity")

    def capacity(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return POST /v1/capacity:what-if."""
        return self._ask("POST", "/v1/capacity:what-if", json=body)

    def events(self) -> dict[str, Any]:
        """Return GET /v1/events."""
        return self._ask("GET", "/v1/events")

    def import_events(self, calendar: str) -> dict[str, Any]:
        """Return POST /v1/events:import of a calendar as JSON."""
        headers = {"Content-Type": "application/json"}
        return self._ask("POST", "/v1/events:import", content=calendar.encode(), headers=headers)

    def remove_event(self, event_id: str) -> dict[str, Any]:
        """Return DELETE /v1/events/{id}."""
        return self._ask("DELETE", f"/v1/events/{quote(event_id, safe='')}")

    def push_samples(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return POST /v1/history/samples."""
        return self._ask("POST", "/v1/history/samples", json=body)

    def orders(self) -> dict[str, Any]:
        """Return GET /v1/balancer."""
        return self._ask("GET", "/v1/balancer")

    def change_orders(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return PATCH /v1/balancer."""
        return self._ask("PATCH", "/v1/balancer", json=body)

    def give_order(self, kind: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return PUT /v1/balancer/{kind}/{name}; `kind` is pins, forbidden, spread-groups, drains or fills."""
        return self._ask("PUT", f"/v1/balancer/{kind}/{quote(name, safe='')}", json=body)

    def take_back(self, kind: str, name: str) -> dict[str, Any]:
        """Return DELETE /v1/balancer/{kind}/{name}."""
        return self._ask("DELETE", f"/v1/balancer/{kind}/{quote(name, safe='')}")

    def plans(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return GET /v1/plans."""
        return self._ask("GET", "/v1/plans", params=_given(asked))

    def plan(self, plan_id: str) -> dict[str, Any]:
        """Return GET /v1/plans/{id}."""
        return self._ask("GET", f"/v1/plans/{quote(plan_id, safe='')}")

    def save_plan(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return POST /v1/plans."""
        return self._ask("POST", "/v1/plans", json=body)

    def plan_act(self, plan_id: str, act: str) -> dict[str, Any]:
        """Return POST /v1/plans/{id}/{act}; `act` is approve, execute or cancel."""
        return self._ask("POST", f"/v1/plans/{quote(plan_id, safe='')}/{act}")

    def decisions(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return GET /v1/decisions."""
        return self._ask("GET", "/v1/decisions", params=_given(asked))

    def decision(self, number: int) -> dict[str, Any]:
        """Return GET /v1/decisions/{number}."""
        return self._ask("GET", f"/v1/decisions/{number}")

    def effects(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return GET /v1/effects."""
        return self._ask("GET", "/v1/effects", params=_given(asked))

    def audit(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return GET /v1/audit."""
        return self._ask("GET", "/v1/audit", params=_given(asked))

    def audit_lines(self, asked: dict[str, Any]) -> Iterator[str]:
        """Yield the lines of GET /v1/audit:export."""
        try:
            with self._http.stream("GET", self._url + "/v1/audit:export", params=_given(asked)) as response:
                if response.is_error:
                    response.read()
                    raise self._failure(response)
                yield from response.iter_lines()
        except httpx.TransportError as error:
            raise ServiceUnreachableError(self._url, _in_words(error)) from error

    def costs(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return GET /v1/costs."""
        return self._ask("GET", "/v1/costs", params=_given(asked))

    def cost(self, order_param: str) -> dict[str, Any]:
        """Return GET /v1/costs/{order_param}."""
        return self._ask("GET", f"/v1/costs/{quote(order_param, safe='')}")

    def _failure(self, response: httpx.Response) -> PlbError:
        """Return what an answer that is no line of the export says."""
        try:
            body = response.json()
        except ValueError:
            body = {}
        return _problem(self._url, response.status_code, body if isinstance(body, dict) else {})

    def tokens(self) -> dict[str, Any]:
        """Return GET /v1/tokens."""
        return self._ask("GET", "/v1/tokens", params={"limit": 1000})

    def create_token(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return POST /v1/tokens."""
        return self._ask("POST", "/v1/tokens", json=body)

    def revoke_token(self, which: str) -> dict[str, Any]:
        """Return DELETE /v1/tokens/{id}."""
        return self._ask("DELETE", f"/v1/tokens/{quote(which, safe='')}")

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, self._url + path, **more)
        except httpx.InvalidURL as error:
            raise BadInputError(f"--url {self._url!r} is not a URL: {error}") from error
        except httpx.TransportError as error:
            raise ServiceUnreachableError(self._url, _in_words(error)) from error
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ServiceUnreachableError(
                self._url, f"something answers there with status {response.status_code}, not plb-ray"
            )
        if response.is_error:
            raise _problem(self._url, response.status_code, body)
        return body


def _given(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that are given."""
    return {name: value for name, value in asked.items() if value is not None}


def _certificates(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        raise BadInputError(f"--ca-file {ca_file}: no certificates in PEM: {error}") from error


def _credentials(token: str) -> dict[str, str]:
    if not token:
        return {}
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise BadInputError("--token: it holds characters that no token has; check for quotes, spaces and line breaks")
    return {"Authorization": f"Bearer {token}"}


def _is_local(url: str) -> bool:
    """Return whether a URL is on this machine, where no proxy of the environment may stand between."""
    return (httpx.URL(url).host if "://" in url else "") in {"127.0.0.1", "localhost", "::1"}


def _in_words(error: httpx.TransportError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate is not vouched for by anybody known; --ca-file names a file with who vouches for it"
    if isinstance(error, httpx.ConnectError):
        return "connection refused" if "refused" in str(error) else "no connection"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _problem(url: str, status: int, body: dict[str, Any]) -> PlbError:
    if "reason" not in body or "detail" not in body:
        return ServiceUnreachableError(url, f"something answers there with status {status}, not plb-ray")
    return ServiceAnsweredError(body["reason"], body["detail"], status)
