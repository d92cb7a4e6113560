"""Prometheus metrics: what the balancer sees, per shard, and what the API itself does, per route.

Cardinality is bounded by shards x resources and by routes x status classes; order params are never labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from plb_ray.clock import monotonic_s
from plb_ray.control.forecast_quality import CHAMPION
from plb_ray.control.migration_meter import PAUSE_BUCKETS_MS, PauseHistogram
from plb_ray.control.views import Mode
from plb_ray.domain.migration import MigrationMode, MigrationStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.migration_meter import MigrationTotals
    from plb_ray.control.views import BalancerStatus, Decision, ShardView

Rows = Iterable[tuple[str | float, ...]]
REVERSIBLE = (MigrationStep.PREPARE, MigrationStep.PRECOPIED, MigrationStep.PAUSED, MigrationStep.SEALING)
"""The steps at which a migration can be rolled back."""
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The application's own registry; nothing is registered globally, so that several applications can live side by side."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
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

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; `status` is counted by its class (2xx, 4xx, ...)."""
        self._requests.labels(route, method, f"{status // 100}xx").inc()
        self._latency_s.labels(route).observe(seconds)

    def render(
        self, status: BalancerStatus | None, decision: Decision | None, quality: Sequence[ForecastQuality] = ()
    ) -> bytes:
        """Return everything in Prometheus' text format; None as status means that the control loop does not answer."""
        picture = CollectorRegistry()
        picture.register(_Picture(status, decision, quality))
        return generate_latest(picture) + generate_latest(self._registry)


class _Picture:
    """A Prometheus collector over one status, one decision and what is known of the forecasts' quality."""

    def __init__(self, status: BalancerStatus | None, decision: Decision | None, quality: Sequence[ForecastQuality]) -> None:
        self._status = status
        self._decision = decision
        self._quality = quality

    def collect(self) -> Iterator[Metric]:
        yield _gauge("plb_up", "1 if the control loop answers.", float(self._status is not None))
        if self._status is not None:
            yield from _balancer_metrics(self._status)
            yield from _shard_metrics(self._status.shards, self._status.at_s)
        if self._decision is not None:
            yield from _plan_metrics(self._decision)
        if self._quality:
            yield from _quality_metrics(self._quality)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(kind: type[Any], name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """Return a metric with one sample per row; a row is the label values and, last, the value."""
    family: Metric = kind(name, text, labels=labels)
    for *values, value in rows:
        family.add_metric([str(each) for each in values], value)  # type: ignore[attr-defined]  # both kinds have it
    return family


def _balancer_metrics(status: BalancerStatus) -> Iterator[Metric]:
    yield _gauge("plb_ready", "1 if the mapping is recovered and a first tick is done.", float(status.ready))
    yield CounterMetricFamily("plb_ticks", "Ticks of the control loop.", value=status.ticks)
    yield CounterMetricFamily("plb_control_restarts", "Take-overs from a predecessor.", value=status.restarts)
    yield _gauge("plb_order_params", "Order params known.", status.order_params)
    yield _gauge("plb_headroom_ratio", "Usable share of every capacity.", status.headroom)
    yield _gauge("plb_tick_failed", "1 if the last tick reported an error.", float(bool(status.last_error)))
    yield _gauge("plb_migrations_active", "Migrations that run.", status.migrations_active)
    yield from _migration_metrics(status.totals)
    modes = ((mode.value, float(mode is status.mode)) for mode in Mode)
    yield _labelled(GaugeMetricFamily, "plb_mode", "1 for the mode in force.", ("mode",), modes)
    training = ((each.horizon, each.fraction) for each in status.training)
    yield _labelled(GaugeMetricFamily, "plb_training_ratio", "Share of training done.", ("horizon",), training)


def _migration_metrics(totals: MigrationTotals) -> Iterator[Metric]:
    ended = (
        (outcome, mode.value, counts.get(mode, 0))
        for outcome, counts in (("done", totals.done), ("rolled_back", totals.rolled_back))
        for mode in MigrationMode
    )
    text = "Migrations that have ended since the control loop started."
    yield _labelled(CounterMetricFamily, "plb_migrations", text, ("outcome", "mode"), ended)
    rollbacks = ((step.value, totals.rolled_back_at.get(step, 0)) for step in REVERSIBLE)
    text = "Migrations rolled back, by the last step that they had reached."
    yield _labelled(CounterMetricFamily, "plb_migration_rollbacks", text, ("step",), rollbacks)
    text = "Messages copied by migrations."
    yield CounterMetricFamily("plb_migration_messages_copied", text, value=totals.messages_copied)
    yield CounterMetricFamily("plb_migration_bytes_copied", "Bytes copied by migrations.", value=totals.bytes_copied)
    pauses = HistogramMetricFamily("plb_migration_pause_seconds", "How long appends were refused.", labels=("mode",))
    for mode in MigrationMode:
        pause = totals.pauses.get(mode, PauseHistogram())
        bounds = (*(f"{bound_ms / 1000:g}" for bound_ms in PAUSE_BUCKETS_MS), "+Inf")
        buckets = list(zip(bounds, accumulate(pause.counts), strict=True))
        pauses.add_metric([mode.value], buckets, pause.sum_ms / 1000)
    yield pauses


_SHARD_GAUGES = (
    ("plb_shard_arrival_messages_per_second", "Messages arriving.", "arrival_messages_per_s"),
    ("plb_shard_served_messages_per_second", "Messages delivered.", "served_messages_per_s"),
    ("plb_shard_backlog_messages", "Messages waiting or in flight.", "backlog"),
    ("plb_shard_oldest_message_age_seconds", "Age of the oldest message not acknowledged.", "oldest_age_s"),
    ("plb_shard_order_params", "Order params on the shard.", "order_params"),
)


def _shard_metrics(shards: tuple[ShardView, ...], at_s: float | None) -> Iterator[Metric]:
    up = ((each.shard_id, float(not each.error)) for each in shards)
    yield _labelled(GaugeMetricFamily, "plb_shard_up", "1 if the shard answers.", ("shard",), up)
    answering = [each for each in shards if not each.error]  # of the others only old figures are known
    for name, text, attribute in _SHARD_GAUGES:
        rows = ((each.shard_id, getattr(each, attribute)) for each in answering)
        yield _labelled(GaugeMetricFamily, name, text, ("shard",), rows)
    both = ("shard", "resource")
    now = ((each.shard_id, resource, share) for each in answering for resource, share in each.utilisation.items())
    yield _labelled(GaugeMetricFamily, "plb_shard_utilisation_ratio", "Arriving load / capacity.", both, now)
    peak = (
        (each.shard_id, resource, max(band.target, default=0.0))
        for each in answering
        for resource, band in each.bands.items()
    )
    text = "Highest forecast load / capacity on the horizon, at the planning quantile."
    yield _labelled(GaugeMetricFamily, "plb_shard_forecast_peak_ratio", text, both, peak)
    soon = (
        (each.shard_id, max(0.0, each.congestion_at_s - at_s))
        for each in answering
        if each.congestion_at_s is not None and at_s is not None
    )
    text = "Time until the shard is foreseen over capacity x headroom; absent if it is not."
    yield _labelled(GaugeMetricFamily, "plb_shard_congestion_in_seconds", text, ("shard",), soon)


def _plan_metrics(decision: Decision) -> Iterator[Metric]:
    plan = decision.plan
    yield _gauge("plb_plan_moves", "Moves in the latest plan.", len(plan.moves))
    yield _gauge("plb_plan_gap_ratio", "Distance of the latest plan's cost from its proven bound.", plan.gap)
    yield _gauge("plb_plan_overload_before", "Foreseen overload without the plan.", plan.overload_before)
    yield _gauge("plb_plan_overload_after", "Foreseen overload with the plan.", plan.overload_after)
    yield _gauge("plb_plan_solve_seconds", "Time to make the latest plan.", plan.solve_s)
    yield _gauge("plb_tick_seconds", "Duration of the last tick.", decision.tick_s)
    sources = decision.sources.items()
    yield _labelled(GaugeMetricFamily, "plb_forecast_order_params", "Order params by forecaster.", ("source",), sources)


def _quality_metrics(quality: Sequence[ForecastQuality]) -> Iterator[Metric]:
    covered = (
        (each.horizon, each.forecaster, interval, share)
        for each in quality
        for interval, share in (("80", each.coverage_80), ("95", each.coverage_95))
    )
    text = "Share of what came within the interval, over a week; 0.8 and 0.95 are right."
    labels = ("horizon", "forecaster", "interval")
    yield _labelled(GaugeMetricFamily, "plb_forecast_coverage", text, labels, covered)
    losses = [(each.horizon, each.forecaster, each.loss) for each in quality]
    losses += [(each.horizon, "seasonal_naive", each.seasonal_naive_loss) for each in quality if each.forecaster == CHAMPION]
    text = "Quantile loss relative to what came, over a week; of the seasonal naive for the champion's forecasts."
    yield _labelled(GaugeMetricFamily, "plb_forecast_loss", text, ("horizon", "forecaster"), losses)
    pairs = ((each.horizon, each.forecaster, each.pairs) for each in quality)
    text = "Forecasts that were compared with what came, over a week."
    yield _labelled(GaugeMetricFamily, "plb_forecast_pairs", text, ("horizon", "forecaster"), pairs)


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
