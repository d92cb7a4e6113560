"""The metric families of one picture of the balancer: a status, a decision, and how good the forecasts have been.

A silent shard has no figures but `plb_shard_up 0`: old ones would be taken for new.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from plb_ray.control.forecast_quality import CHAMPION
from plb_ray.control.histogram import Histogram
from plb_ray.control.migration_meter import DURATION_BUCKETS_S, PAUSE_BUCKETS_MS, PauseHistogram
from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.migration import MigrationMode, MigrationStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.loop_meter import LoopCounts
    from plb_ray.control.migration_meter import MigrationTotals
    from plb_ray.control.views import BalancerStatus, Decision, HistoryView, ShardView
    from plb_ray.domain.effects import Experience

Rows = Iterable[tuple[str | float, ...]]
REVERSIBLE = (MigrationStep.PREPARE, MigrationStep.PRECOPIED, MigrationStep.PAUSED, MigrationStep.SEALING)
"""The steps at which a migration can be rolled back."""
OUTCOMES = {MigrationStep.DONE: "done", MigrationStep.ABORTED: "rolled_back"}
PUSHED = ("new", "late", "duplicate", "replaced", "too_late", "refused")


class Picture:
    """A Prometheus collector; None as status means that the control loop does not answer."""

    def __init__(self, status: BalancerStatus | None, decision: Decision | None, quality: Sequence[ForecastQuality]) -> None:
        self._status = status
        self._decision = decision
        self._quality = quality

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called once a scrape."""
        release = [(_release(), 1.0)]
        yield _labelled(GaugeMetricFamily, "plb_build_info", "The release; always 1.", ("version",), release)
        yield _gauge("plb_up", "1 if the control loop answers.", float(self._status is not None))
        if self._status is not None:
            yield from _balancer(self._status)
            yield from _experience(self._status.experience)
            yield from _counts(self._status.counts)
            yield from _migrations(self._status.totals)
            yield from _history(self._status.history, self._status.at_s)
            yield from _shards(self._status.shards, self._status.at_s)
        if self._decision is not None:
            yield from _plan(self._decision)
        if self._quality:
            yield from _forecast_quality(self._quality)


@cache
def _release() -> str:
    return version("plb-ray")


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(kind: type[Any], name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """Return a metric with one sample per row; a row is the label values and, last, the value."""
    family: Metric = kind(name, text, labels=labels)
    for *values, value in rows:
        family.add_metric([str(each) for each in values], value)  # type: ignore[attr-defined]  # both kinds have it
    return family


def _histogram(name: str, text: str, label: str, rows: Iterable[tuple[str, Histogram]]) -> Metric:
    """Return a histogram with one row of buckets per label value; an empty label: one histogram without a label."""
    family = HistogramMetricFamily(name, text, labels=(label,) if label else ())
    for value, found in rows:
        bounds = (*(f"{bound:g}" for bound in found.bounds), "+Inf")
        buckets = list(zip(bounds, accumulate(found.counts), strict=True))
        family.add_metric([value] if label else [], buckets, found.total)
    return family


def _balancer(status: BalancerStatus) -> Iterator[Metric]:
    yield _gauge("plb_ready", "1 if the mapping is recovered and a first tick is done.", float(status.ready))
    yield CounterMetricFamily("plb_ticks", "Ticks of the control loop.", value=status.ticks)
    yield CounterMetricFamily("plb_control_restarts", "Take-overs from a predecessor.", value=status.restarts)
    yield _gauge("plb_order_params", "Order params known.", status.order_params)
    yield _gauge("plb_headroom_ratio", "Usable share of every capacity.", status.headroom)
    yield _gauge("plb_tick_failed", "1 if the last tick reported an error.", float(bool(status.last_error)))
    yield _gauge("plb_migrations_active", "Migrations that run.", status.migrations_active)
    yield _gauge("plb_paused", "1 while an operator has paused the balancer.", float(status.paused))
    yield _gauge("plb_approval_required", "1 if moves wait until an operator approves them.", float(status.approval))
    yield _gauge("plb_plans_awaiting", "Plans that wait for approval.", status.plans_awaiting)
    modes = ((mode.value, float(mode is status.mode)) for mode in Mode)
    yield _labelled(GaugeMetricFamily, "plb_mode", "1 for the mode in force.", ("mode",), modes)
    training = [(each.horizon, each.fraction) for each in status.training]
    yield _labelled(GaugeMetricFamily, "plb_training_ratio", "Share of training done.", ("horizon",), training)
    failed = [(each.horizon, each.failed) for each in status.training]
    text = "Groups of order params whose last training failed."
    yield _labelled(GaugeMetricFamily, "plb_training_failed_groups", text, ("horizon",), failed)


def _experience(experience: Experience) -> Iterator[Metric]:
    rows = (("promised", experience.promised_s), ("realised", experience.taken_s))
    text = "Overload taken away by moves that were sent on a forecast, shard-seconds; old moves count less."
    yield _labelled(GaugeMetricFamily, "plb_moves_overload_taken_seconds", text, ("of",), rows)
    text = "How much of what is foreseen counts when a plan is weighed: realised / promised, within bounds."
    yield _gauge("plb_moves_kept_ratio", text, experience.ratio)
    text = "What a move has cost on average, in seconds of a whole shard."
    yield _gauge("plb_move_cost_seconds", text, experience.move_cost_s)


def _counts(counts: LoopCounts) -> Iterator[Metric]:
    yield CounterMetricFamily("plb_ticks_failed", "Ticks that ended with an error.", value=counts.ticks_failed)
    text = "How long ticks took, failed ones included."
    yield _histogram("plb_tick_duration_seconds", text, "", [("", counts.tick_s)])
    moves = ((admission.value, counts.moves.get(admission, 0)) for admission in Admission)
    text = "Moves of all decisions, by what became of them."
    yield _labelled(CounterMetricFamily, "plb_moves", text, ("admission",), moves)
    text = "Time since the end of the history that the newest forecast was made from."
    yield _labelled(GaugeMetricFamily, "plb_forecast_age_seconds", text, ("horizon",), counts.forecast_age_s.items())
    if counts.trusted is not None:
        text = "1 if the forecast is planned on, 0 if it is outdone by what was measured last."
        yield _gauge("plb_forecast_trusted", text, float(counts.trusted))
        losses = (("forecast", counts.foreseen_loss), ("measured", counts.measured_loss))
        text = "What the guard weighs: squared errors per shard, as shares of capacity, fading."
        yield _labelled(GaugeMetricFamily, "plb_forecast_guard_loss", text, ("of",), losses)
    busy = [(each.order_param, each.shard, each.messages_per_s) for each in counts.busiest]
    both = ("order_param", "shard")
    text = "Messages arriving, of the order params with the highest load ([metrics] top_order_params)."
    yield _labelled(GaugeMetricFamily, "plb_order_param_arrival_messages_per_second", text, both, busy)
    foreseen = [
        (each.order_param, each.shard, each.foreseen_messages_per_s)
        for each in counts.busiest
        if each.foreseen_messages_per_s is not None
    ]
    text = "Highest median of the short forecast, of the same order params."
    yield _labelled(GaugeMetricFamily, "plb_order_param_foreseen_messages_per_second", text, both, foreseen)
    notices = ((target, outcome, count) for (target, outcome), count in counts.notices.items())
    text = "Notifications by what became of them."
    yield _labelled(CounterMetricFamily, "plb_notifications", text, ("target", "outcome"), notices)


def _migrations(totals: MigrationTotals) -> Iterator[Metric]:
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
    pauses = ((mode.value, _in_seconds(totals.pauses.get(mode, PauseHistogram()))) for mode in MigrationMode)
    yield _histogram("plb_migration_pause_seconds", "How long appends were refused.", "mode", pauses)
    empty = Histogram(DURATION_BUCKETS_S)
    durations = ((word, totals.durations_s.get(step, empty)) for step, word in OUTCOMES.items())
    text = "From the start of migrations to their end."
    yield _histogram("plb_migration_duration_seconds", text, "outcome", durations)


def _in_seconds(pauses: PauseHistogram) -> Histogram:
    return Histogram(tuple(bound_ms / 1000 for bound_ms in PAUSE_BUCKETS_MS), pauses.counts, pauses.sum_ms / 1000)


def _history(history: HistoryView, at_s: float | None) -> Iterator[Metric]:
    yield _gauge("plb_history_steps", "Steps of the history that are in memory.", history.steps)
    if history.end_s is not None and at_s is not None:
        text = "Time from the end of the history to the last tick."
        yield _gauge("plb_history_age_seconds", text, max(0.0, at_s - history.end_s))
    pushed = ((word, getattr(history.pushed, word)) for word in PUSHED)
    text = "Samples from elsewhere, by what became of them."
    yield _labelled(CounterMetricFamily, "plb_history_samples", text, ("outcome",), pushed)
    text = "1 if the last samples from Prometheus could be fetched, or none is set."
    yield _gauge("plb_history_source_up", text, float(not history.source_error))


_SHARD_GAUGES = (
    ("plb_shard_arrival_messages_per_second", "Messages arriving.", "arrival_messages_per_s"),
    ("plb_shard_served_messages_per_second", "Messages delivered.", "served_messages_per_s"),
    ("plb_shard_backlog_messages", "Messages waiting or in flight.", "backlog"),
    ("plb_shard_oldest_message_age_seconds", "Age of the oldest message not acknowledged.", "oldest_age_s"),
    ("plb_shard_order_params", "Order params on the shard.", "order_params"),
)


def _shards(shards: tuple[ShardView, ...], at_s: float | None) -> Iterator[Metric]:
    up = ((each.shard_id, float(not each.error)) for each in shards)
    yield _labelled(GaugeMetricFamily, "plb_shard_up", "1 if the shard answers.", ("shard",), up)
    answering = [each for each in shards if not each.error]
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


def _plan(decision: Decision) -> Iterator[Metric]:
    plan = decision.plan
    yield _gauge("plb_plan_moves", "Moves in the latest plan.", len(plan.moves))
    yield _gauge("plb_plan_gap_ratio", "Distance of the latest plan's cost from its proven bound.", plan.gap)
    yield _gauge("plb_plan_overload_before", "Foreseen overload without the plan.", plan.overload_before)
    yield _gauge("plb_plan_overload_after", "Foreseen overload with the plan.", plan.overload_after)
    yield _gauge("plb_plan_solve_seconds", "Time to make the latest plan.", plan.solve_s)
    yield _gauge(
        "plb_plan_faults", "Faults that the checker found in the latest plan; then nothing is done.", len(decision.faults)
    )
    yield _gauge("plb_tick_seconds", "Duration of the last tick that decided.", decision.tick_s)
    text = "Share of all moves that brought an order param back to where it had been within hours."
    yield _gauge("plb_thrash_ratio", text, decision.thrash)
    bases = ((basis.value, float(basis is decision.basis)) for basis in Basis)
    yield _labelled(GaugeMetricFamily, "plb_decision_basis", "1 for what the latest decision stands on.", ("basis",), bases)
    sources = decision.sources.items()
    yield _labelled(GaugeMetricFamily, "plb_forecast_order_params", "Order params by forecaster.", ("source",), sources)


def _forecast_quality(quality: Sequence[ForecastQuality]) -> Iterator[Metric]:
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
