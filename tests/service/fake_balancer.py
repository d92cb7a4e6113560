"""A balancer for tests: four shards, some forty order params with names that hurt, and errors on demand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from plb_ray.control.capacity_basis import CapacityBasis, basis_of_queue
from plb_ray.control.fleet_view import FleetView, ShardNeed
from plb_ray.control.forecast_quality import ForecastQuality
from plb_ray.control.migration_meter import MigrationTotals, PauseHistogram
from plb_ray.control.order_param_table import OrderParamTable
from plb_ray.control.ports import TrainingStatus
from plb_ray.control.shard_loads import loads_of
from plb_ray.control.views import (
    Admission,
    AdmittedMove,
    BalancerStatus,
    Decision,
    ForecastBand,
    HistoryView,
    Mode,
    ShardView,
)
from plb_ray.domain.events import CalendarChange, Event, EventCalendar, change_of
from plb_ray.domain.load import ResourceVector, Shard
from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationMode, MigrationRecord, MigrationRequest, MigrationStep
from plb_ray.domain.outcomes import Distance, ForecastOutcome, OrderParamOutcomes
from plb_ray.domain.plan import Move, Plan, PlanStatus, Termination
from plb_ray.domain.rates import OrderParamForecast, RateHistory, TimeSeries
from plb_ray.domain.samples import PushOutcome, SampleBatch
from plb_ray.errors import (
    MigrationConflictError,
    StaleEpochError,
    TooManyMigrationsError,
    UnknownEventError,
    UnknownMigrationError,
    UnknownOrderParamError,
    UnknownShardError,
)
from plb_ray.estimate.cost import CostModel, Ratio
from plb_ray.history.samples import to_cells
from tests.service.fake_looks import FakeLooks
from tests.service.fake_orders import FakeOrders
from tests.service.fake_record import LOADS, FakeRecord

NOW_S = 1_385_560_800.0  # 2013-11-27 14:00 UTC
STEP_S = 600
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
SHARDS = ("shard-1", "shard-2", "shard-3", "shard-4")
HOT = "shard-3"
ODD_NAMES = ("tenant/7/orders", "a//b", "100% café ☕", "q?x=1&y=2#frag", "..hidden", " spaced ", "<b>bold</b>", "JFK-LAX")
AIRPORTS = ("ATL", "BOS", "CLT", "DFW", "LAS", "MCO", "MIA", "ORD", "PHX", "SEA", "SFO")
ROUTES = tuple(f"{a}-{b}" for a in ("JFK", "LGA", "EWR") for b in AIRPORTS)
NAMES = (*ODD_NAMES, *ROUTES)
STEPS_PER_DAY = 24 * 3600 // STEP_S
IN_FLIGHT_MAX = 4


def day_curve(step: int, peak: float) -> float:
    """Return a share that has its low at night and its peak in the afternoon, with a little ripple."""
    hour = (step * STEP_S / 3600 + 14) % 24
    return peak * (0.55 - 0.45 * math.cos((hour - 4) / 24 * 2 * math.pi)) + 0.02 * math.sin(step * 1.7)


def shard_view(shard_id: str, peak: float, headroom: float) -> ShardView:
    history_s = tuple(NOW_S + step * STEP_S for step in range(-STEPS_PER_DAY, 0))
    history = tuple(max(0.0, day_curve(step, peak)) for step in range(-STEPS_PER_DAY, 0))
    starts_s = tuple(int(NOW_S) + step * STEP_S for step in range(24))
    expected = tuple(day_curve(step, peak * 1.05) for step in range(24))
    target = tuple(share * (1.08 + 0.006 * step) for step, share in enumerate(expected))
    over = [at_s for at_s, share in zip(starts_s, target, strict=True) if share > headroom]
    small = ForecastBand(starts_s, tuple(share / 4 for share in expected), tuple(share / 4 for share in target))
    return ShardView(
        shard_id=shard_id,
        endpoint=f"127.0.0.1:{7070 + int(shard_id[-1])}",
        capacity=ResourceVector(1.0, math.inf, 50e6),
        utilisation={"cpu_cores": history[-1], "memory_bytes": 0.12, "io_bytes_per_s": history[-1] / 4},
        arrival_messages_per_s=history[-1] * 300,
        served_messages_per_s=min(history[-1], 1.0) * 300,
        backlog=int(max(0.0, history[-1] - 0.7) * 4000),
        oldest_age_s=max(0.0, history[-1] - 0.7) * 9,
        order_params=len(NAMES) // 4,
        history_s=history_s,
        history=history,
        bands={"cpu_cores": ForecastBand(starts_s, expected, target), "io_bytes_per_s": small},
        congestion_at_s=float(over[0]) if over else None,
    )


def default_totals() -> MigrationTotals:
    return MigrationTotals(
        done={MigrationMode.COPY: 12},
        rolled_back={MigrationMode.COPY: 1},
        rolled_back_at={MigrationStep.PRECOPIED: 1},
        messages_copied=5000,
        bytes_copied=1_000_000,
        pauses={MigrationMode.COPY: PauseHistogram().plus(8.0).plus(11.5).plus(31.5)},
    )


def default_status() -> BalancerStatus:
    peaks = {"shard-1": 0.62, "shard-2": 0.7, "shard-3": 0.97, "shard-4": 0.5}
    return BalancerStatus(
        mode=Mode.PREDICTIVE,
        ready=True,
        at_s=NOW_S,
        ticks=85,
        headroom=0.9,
        level=0.9,
        shards=tuple(shard_view(shard_id, peaks[shard_id], 0.9) for shard_id in SHARDS),
        order_params=len(NAMES),
        migrations_active=1,
        migrations_done=12,
        migrations_rolled_back=1,
        training=(
            TrainingStatus("short", 2, 2, 1.0, message="trained"),
            TrainingStatus("medium", 1, 2, 0.64, message="epoch 64 of 100"),
        ),
        queue_endpoint="127.0.0.1:7070",
        totals=default_totals(),
        history=HistoryView(STEP_S, 47_000, int(NOW_S), len(NAMES)),
    )


def default_decision() -> Decision:
    moves = (
        Move("JFK-ATL", HOT, "shard-4", "p90 at 14:10 would put shard-3 at 112 % of CPU"),
        Move("tenant/7/orders", HOT, "shard-1", "p90 at 14:10 would put shard-3 at 104 % of CPU"),
    )
    plan = Plan(
        status=PlanStatus.FEASIBLE,
        termination=Termination.EXHAUSTED,
        moves=moves,
        cost=2.0,
        bound=1.0,
        broken_before=0,
        broken_after=0,
        overload_before=0.31,
        overload_after=0.0,
        max_utilisation=0.84,
        unresolved=(),
        solve_s=0.043,
    )
    admitted = (AdmittedMove(moves[0], Admission.ADMITTED), AdmittedMove(moves[1], Admission.MODE_FORBIDS))
    sources = {"ensemble": 37, "seasonal_naive": 4}
    return Decision(85, NOW_S, Mode.PREDICTIVE, plan, admitted, (), sources, 0.12, loads=loads_of(LOADS))


def record(
    migration_id: str, order_param: str, step: MigrationStep, ago_s: float, *, pause_ms: float | None = None, error: str = ""
) -> MigrationRecord:
    return MigrationRecord(
        migration_id=migration_id,
        order_param=order_param,
        source=HOT,
        destination="shard-4",
        epoch=3,
        step=step,
        reason="p90 at 14:10 would put shard-3 at 112 % of CPU",
        started_s=NOW_S - ago_s,
        finished_s=NOW_S - ago_s + 0.8 if step.terminal else None,
        messages_copied=412,
        bytes_copied=412 * 256,
        pause_ms=pause_ms,
        error=error,
    )


def default_migrations() -> list[MigrationRecord]:
    done = [
        record(f"{84 - row}-{name}", name, MigrationStep.DONE, 30.0 + 40 * row, pause_ms=8.0 + row)
        for row, name in enumerate(ROUTES[:8])
    ]
    failed = record("80-a//b", "a//b", MigrationStep.ABORTED, 200.0, pause_ms=31.5, error="the destination does not answer")
    return [record("85-JFK-ATL", "JFK-ATL", MigrationStep.PRECOPIED, 1.0), *done[:3], failed, *done[3:]]


def default_mapping() -> Mapping:
    placements = {name: Placement(name, (SHARDS[row % 4],), 1 + row % 3) for row, name in enumerate(NAMES)}
    chained = placements["JFK-LAX"]
    placements["JFK-LAX"] = replace(chained, shards=(HOT, "shard-1"))
    return Mapping(236, placements)


def default_quality() -> tuple[ForecastQuality, ...]:
    since_s = NOW_S - 6 * 86_400
    return (
        ForecastQuality("medium", "champion", 141_900, since_s, NOW_S, 0.79, 0.952, 0.171, 0.35),
        ForecastQuality("short", "champion", 451_020, since_s, NOW_S, 0.806, 0.948, 0.139, 0.312),
        ForecastQuality("short", "baseline", 40, since_s, NOW_S, 0.8, 0.95, math.nan, math.nan),
    )


def default_calendar() -> EventCalendar:
    final = Event("cup-final", "match", "Cup final", NOW_S + 3600.0, NOW_S + 10_800.0, ("tenant/7/*", "JFK-LAX"))
    return EventCalendar((final, Event("thanksgiving", "holiday", "Thanksgiving Day", 1_385_528_400.0, 1_385_614_800.0)))


@dataclass
class FakeBalancer(FakeRecord, FakeOrders, FakeLooks):
    """See `Balancer`. `failing` maps a method's name to the error it raises.

    `earlier` has what came before the newest record of a migration, `progress` what it has copied since that.
    """

    status_now: BalancerStatus = field(default_factory=default_status)
    decision: Decision | None = field(default_factory=default_decision)
    records: list[MigrationRecord] = field(default_factory=default_migrations)
    placements: Mapping = field(default_factory=default_mapping)
    calendar: EventCalendar = field(default_factory=default_calendar)
    quality: tuple[ForecastQuality, ...] = field(default_factory=default_quality)
    failing: dict[str, Exception] = field(default_factory=dict)
    requests: list[MigrationRequest] = field(default_factory=list)
    earlier: dict[str, tuple[MigrationRecord, ...]] = field(default_factory=dict)
    progress: dict[str, MigrationRecord] = field(default_factory=dict)
    told: list[SampleBatch] = field(default_factory=list)
    cells: dict[tuple[str, int], float] = field(default_factory=dict)

    def _maybe_fail(self, method: str) -> None:
        if method in self.failing:
            raise self.failing[method]

    def _known(self, order_param: str) -> Placement:
        if order_param not in self.placements.placements:
            raise UnknownOrderParamError(order_param)
        return self.placements.placements[order_param]

    async def status(self) -> BalancerStatus:
        self._maybe_fail("status")
        return self.status_now

    async def forecast(self, order_param: str, horizon: str) -> OrderParamForecast:
        self._maybe_fail("forecast")
        self._known(order_param)
        step_s, steps = (STEP_S, 2) if horizon == "short" else (3600, 24)
        middle = np.array([5 * day_curve(step * step_s // STEP_S, 1.0) for step in range(steps)])
        spread = np.array([0.8, 0.9, 1.0, 1.12, 1.3])
        series = TimeSeries(int(NOW_S), step_s, LEVELS, middle[:, None] * spread)  # (H, Q)
        return OrderParamForecast(order_param, series, "ensemble")

    async def history(self, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
        self._maybe_fail("history")
        self._known(order_param)
        return tuple((NOW_S + step * STEP_S, 5 * day_curve(step, 1.0)) for step in range(-steps, 0))

    async def order_params(self) -> OrderParamTable:
        self._maybe_fail("order_params")
        placed = self.placements.placements
        size = 1.0 + np.arange(len(placed)) % 5
        return OrderParamTable(
            at_s=NOW_S,
            names=tuple(placed),
            shards=tuple(each.shards for each in placed.values()),
            epochs=np.array([each.epoch for each in placed.values()]),
            messages_per_s=size,
            load=size[:, None] * np.array([0.02, 100.0, 200.0]),
            backlog=np.arange(len(placed)) % 7,
            oldest_age_s=0.1 * (np.arange(len(placed)) % 7),
        )

    async def forecast_quality(self) -> tuple[ForecastQuality, ...]:
        self._maybe_fail("forecast_quality")
        return self.quality

    async def outcomes(self, order_param: str, horizon: str, steps: int, distance: Distance) -> OrderParamOutcomes:
        self._maybe_fail("outcomes")
        self._known(order_param)
        ahead_s = STEP_S if distance is Distance.NEXT else 2 * STEP_S
        items = tuple(
            ForecastOutcome(
                cutoff_s=int(NOW_S) + step * STEP_S - ahead_s,
                ahead_s=ahead_s,
                observed=5 * day_curve(step, 1.0) * (1.25 if step % 10 == 0 else 1.0),
                quantiles=tuple(5 * day_curve(step, 1.0) * share for share in (0.7, 0.8, 1.0, 1.2, 1.3)),
                pit=(0.9, 0.975) if step % 10 == 0 else (0.5, 0.9),
                source="ensemble",
            )
            for step in range(-steps, 0)
        )
        return OrderParamOutcomes(order_param, horizon, (0.025, 0.1, 0.5, 0.9, 0.975), items, 0.9, 1.0)

    async def push_samples(self, batch: SampleBatch) -> PushOutcome:
        self._maybe_fail("push_samples")
        self.told.append(batch)
        cells, outcome = to_cells(batch, STEP_S, NOW_S)
        for start_s, column, rate in zip(cells.starts_s.tolist(), cells.columns.tolist(), cells.rates.tolist(), strict=True):
            key = (cells.names[column], start_s)
            fate = "late" if key not in self.cells else "duplicate" if self.cells[key] == rate else "replaced"
            outcome = outcome.plus(PushOutcome(**{fate: 1}))
            self.cells[key] = rate
        return outcome

    async def fleet(self) -> FleetView:
        self._maybe_fail("fleet")
        needs = (ShardNeed(NOW_S, len(SHARDS)), ShardNeed(NOW_S + 3600, len(SHARDS) + 1))
        return FleetView(False, NOW_S, len(SHARDS), len(SHARDS), "all of them are needed", needs)

    async def capacity_basis(self) -> CapacityBasis:
        self._maybe_fail("capacity_basis")
        names = tuple(self.placements.placements)
        start_s = int(NOW_S) // STEP_S * STEP_S - 15 * STEPS_PER_DAY * STEP_S
        size = 1.0 + np.arange(len(names)) % 5
        rates = size[:, None] * np.array([day_curve(step, 1.0) for step in range(15 * STEPS_PER_DAY)]).clip(0)
        history = RateHistory(names, start_s, STEP_S, rates.astype(np.float32))
        cost = CostModel(cpu=Ratio(0.02, 1.0), amplification=Ratio(2.0, 1.0), payload=Ratio(100.0, 1.0))
        shards = tuple(Shard(name, f"127.0.0.1:{7070 + n}", ResourceVector(1.0, 0.0, 50e6)) for n, name in enumerate(SHARDS))
        return basis_of_queue(history, cost, shards, self.placements)

    async def mapping(self) -> Mapping:
        self._maybe_fail("mapping")
        return self.placements

    async def latest_decision(self) -> Decision | None:
        self._maybe_fail("latest_decision")
        return self.decision

    async def dry_run(self) -> Decision:
        self._maybe_fail("dry_run")
        shown = default_decision()
        return replace(shown, moves=tuple(AdmittedMove(each.move, Admission.DRY_RUN) for each in shown.moves))

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        self._maybe_fail("migrations")
        return tuple(self.records[:limit])

    async def migration(self, migration_id: str) -> MigrationRecord:
        self._maybe_fail("migration")
        if migration_id in self.progress:
            return self.progress[migration_id]
        return self._migration(migration_id)

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        self._maybe_fail("timeline")
        return (*self.earlier.get(migration_id, ()), self._migration(migration_id))

    async def cancel(self, migration_id: str) -> MigrationRecord:
        self._maybe_fail("cancel")
        record = self._migration(migration_id)
        if record.step in (MigrationStep.PREPARE, MigrationStep.PRECOPIED, MigrationStep.PAUSED):
            self.advance(migration_id, error=f"at {record.step}: cancelled on request")
            return self.advance(migration_id, step=MigrationStep.ABORTED, finished_s=NOW_S)
        if record.step is not MigrationStep.ABORTED:
            raise StaleEpochError(record.order_param, given=record.epoch, current=record.epoch + 1)
        return record

    def advance(self, migration_id: str, **change: Any) -> MigrationRecord:
        """Give a migration its next record."""
        record = self._migration(migration_id)
        self.earlier[migration_id] = (*self.earlier.get(migration_id, ()), record)
        self.progress.pop(migration_id, None)
        changed = replace(record, **{"at_s": NOW_S, **change})
        self.records[self.records.index(record)] = changed
        return changed

    def _migration(self, migration_id: str) -> MigrationRecord:
        found = next((each for each in self.records if each.migration_id == migration_id), None)
        if found is None:
            raise UnknownMigrationError(migration_id)
        return found

    async def migrate(self, request: MigrationRequest) -> MigrationRecord:
        self._maybe_fail("migrate")
        joined = next((each for each in self.records if each.migration_id == request.request_id), None)
        if joined is not None:
            return joined
        self._check(request)
        self.requests.append(request)
        made = MigrationRecord(
            request.request_id,
            request.order_param,
            request.source,
            request.destination,
            self._known(request.order_param).epoch,
            MigrationStep.PREPARE,
            request.reason,
            NOW_S,
            mode=request.mode,
            at_s=NOW_S,
        )
        self.records.insert(0, made)
        return made

    async def events(self) -> EventCalendar:
        self._maybe_fail("events")
        return self.calendar

    async def put_events(self, events: EventCalendar) -> CalendarChange:
        self._maybe_fail("put_events")
        change = change_of(self.calendar, events)
        self.calendar = self.calendar.merged_with(events)
        return change

    async def remove_event(self, event_id: str) -> Event:
        self._maybe_fail("remove_event")
        if event_id not in self.calendar.index:
            raise UnknownEventError(event_id)
        removed = self.calendar.index[event_id]
        self.calendar = self.calendar.without(event_id)
        return removed

    def _check(self, request: MigrationRequest) -> None:
        placement = self._known(request.order_param)
        for shard_id in (request.source, request.destination):
            if shard_id not in SHARDS:
                raise UnknownShardError(shard_id)
        running = [each for each in self.records if not each.step.terminal]
        if any(each.order_param == request.order_param for each in running):
            raise MigrationConflictError(f"order param {request.order_param!r} is being migrated already")
        if placement.owner != request.source:
            raise MigrationConflictError(f"{request.order_param!r} is on {placement.owner!r}, not on {request.source!r}")
        if len(running) >= IN_FLIGHT_MAX:
            raise TooManyMigrationsError(f"{len(running)} migrations run already; retry when one has ended")
