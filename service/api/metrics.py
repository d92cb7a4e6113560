"""Prometheus metrics: what the balancer sees, decides and does, and what the API itself does, per route.

Names begin with plb_ and carry their unit (seconds, messages, bytes, ratio); counters end in _total. Cardinality is bounded
by shards x resources, routes x status classes, and as many order params as [metrics] says. `metric_families` makes the
families; docs/observability.md lists them all, and a test holds it to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from plb_ray.clock import monotonic_s
from service.api.metric_families import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.views import BalancerStatus, Decision

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The application's own registry; nothing is registered globally, so that several applications can live side by side."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector("plb_api", registry=self._registry)
        self._requests = Counter(
            "plb_http_requests", "HTTP requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._latency_s = Histogram(
            "plb_http_request_seconds",
            "Time until the answer begins.",
            ("route",),
            registry=self._registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; `status` is counted by its class (2xx, 4xx, ...)."""
        key = (route, method, status // 100)
        if key not in self._of:
            self._of[key] = (self._requests.labels(route, method, f"{key[2]}xx"), self._latency_s.labels(route))
        requests, latency_s = self._of[key]
        requests.inc()
        latency_s.observe(seconds)

    def render(
        self, status: BalancerStatus | None, decision: Decision | None, quality: Sequence[ForecastQuality] = ()
    ) -> bytes:
        """Return everything in Prometheus' text format; None as status means that the control loop does not answer."""
        picture = CollectorRegistry()
        picture.register(Picture(status, decision, quality))
        return generate_latest(picture) + generate_latest(self._registry)


class RequestMetrics:
    """ASGI middleware that counts requests by route template; a path that no route takes counts as "other"."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started_s = monotonic_s()
        answered_s: float | None = None  # a stream of events may go on for hours after its answer began

        async def watched_send(message: Message) -> None:
            nonlocal status, answered_s
            if message["type"] == "http.response.start":
                status, answered_s = message["status"], monotonic_s()
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            began_s = monotonic_s() if answered_s is None else answered_s
            self._metrics.observe(route, _known_method(scope["method"]), status, began_s - started_s)


def _known_method(method: str) -> str:
    """Return the method, or "other" for an invented one, so that no caller can grow the label set."""
    return method if method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} else "other"
