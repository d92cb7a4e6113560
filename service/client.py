"""A small client of API v1 for the command line. Errors of the service come out as errors of ours, with its own sentence."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import quote

import httpx

from plb_ray.errors import BadInputError, PlbError, ServiceUnreachableError

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 35.0  # above the service's own longest wait, so that its sentence arrives
CONNECT_TIMEOUT_S = 3.0


class ServiceAnsweredError(PlbError):
    """The service answered with a problem document; `reason` is the code it gave."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason  # type: ignore[misc]  # of the answer, not of the class
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class ServiceClient:
    """Asks one service. Use as a context manager.

    Args:
        url: of the service, for example `http://127.0.0.1:8080`.
        transport: for tests; None goes over the network.
    """

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise BadInputError(f"--url {url!r} is not a URL of a service, for example {DEFAULT_URL}")
        self._url = url.rstrip("/")
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.Client(transport=transport, timeout=timeout, trust_env=not _is_local(url))

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


def _is_local(url: str) -> bool:
    """Return whether a URL is on this machine, where no proxy of the environment may stand between."""
    return (httpx.URL(url).host if "://" in url else "") in {"127.0.0.1", "localhost", "::1"}


def _in_words(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectError):
        return "connection refused" if "refused" in str(error) else "no connection"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _problem(url: str, status: int, body: dict[str, Any]) -> PlbError:
    if "reason" not in body or "detail" not in body:
        return ServiceUnreachableError(url, f"something answers there with status {status}, not plb-ray")
    return ServiceAnsweredError(body["reason"], body["detail"])
