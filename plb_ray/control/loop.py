"""The control loop. One tick: observe, forecast, estimate, plan, check, admit, record, command.

    queue --metrics--> Observer --history--> ForecasterPool --quantiles--> LoadEstimate --> Planner --> PlanChecker
      ^                                                                                                     |
      +------ migrate(move), a task per move, at most `migrations_in_flight` at once <----- Decision <------+

A tick never waits for training or for a migration. A tick that fails changes nothing, says why in `status`, and the next one
starts afresh. Order params on their way count on their destination and are not planned again until they have arrived.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.control.capacity_side import CapacitySide
from plb_ray.control.damping import Memory
from plb_ray.control.deciding import Decider
from plb_ray.control.feedback import Feedback
from plb_ray.control.known_events import KnownEvents
from plb_ray.control.migration_meter import MigrationMeter
from plb_ray.control.mover import Mover
from plb_ray.control.observation import Observation, Observer
from plb_ray.control.orders import Orders
from plb_ray.control.pictures import shard_views
from plb_ray.control.situation import Situation
from plb_ray.control.views import Admission, AdmittedMove, BalancerStatus, Decision, HistoryView, Mode, ShardView
from plb_ray.domain.migration import MigrationStep
from plb_ray.domain.rates import Forecast, medium_horizon, short_horizon
from plb_ray.domain.samples import PushOutcome
from plb_ray.errors import NoForecastError, PermanentError, PlbError, UnknownMigrationError, UnknownOrderParamError
from plb_ray.estimate.load import estimate_load
from plb_ray.history.samples import to_cells

if TYPE_CHECKING:
    from plb_ray.clock import Clock
    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.ports import DecisionLog, EventStore, ForecasterPool, PlanChecker, Planner, Queue
    from plb_ray.domain.events import CalendarChange, Event, EventCalendar
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.domain.rates import OrderParamForecast, RateHistory
    from plb_ray.domain.samples import SampleBatch
    from plb_ray.history.store import HistoryStore
    from plb_ray.settings import BalancerSettings

LOG = logging.getLogger("plb.control")
RECENT_MIGRATIONS = 1000
CLOCKS_DIFFER_S = 5.0  # of those who push; a step of theirs may end a little before ours
CELLS_AT_ONCE = 2000  # a few milliseconds of the event loop, which migrations share


@dataclass(frozen=True)
class Parts:
    """What the loop is made of; `service.wiring` chooses the implementations."""

    queue: Queue
    pool: ForecasterPool
    planner: Planner
    checker: PlanChecker
    history: HistoryStore
    decisions: DecisionLog
    clock: Clock
    events: EventStore
    meter: MigrationMeter = field(default_factory=lambda: MigrationMeter(wall_time_s))
    feedback: Feedback = field(default_factory=Feedback)


@dataclass(frozen=True)
class Surroundings:
    """What the loop should know about where it runs.

    Attributes:
        queue_endpoint: where producers and consumers find QueueControl.
        lookback_steps: how much history the forecasters make use of.
        retrain_every_s: time between trainings.
        min_history_steps: training starts when the history is this long.
        restarts: how often the journal changed its owner.
    """

    queue_endpoint: str
    lookback_steps: int
    retrain_every_s: float
    min_history_steps: int
    restarts: int = 0


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is foreseen at one moment; forecasts by horizon name."""

    forecasts: dict[str, Forecast]
    estimate: LoadEstimate


class ControlLoop(CapacitySide):
    """Implements `plb_ray.control.views.Balancer`. Use from one event loop."""

    def __init__(self, parts: Parts, settings: BalancerSettings, surroundings: Surroundings) -> None:
        self._parts = parts
        self._surroundings = surroundings
        self._settings = settings
        self._mode = Mode(settings.mode)
        self._horizons = (short_horizon(settings.step_s), medium_horizon(settings.step_s))
        self._observer = Observer(parts.queue, parts.history, surroundings.lookback_steps)
        self._seen: Observation | None = None
        self._outlook: Outlook | None = None
        self._decision: Decision | None = None
        self._ticks = 0
        self._next_number = 0
        self._last_error = ""
        self._moving: dict[str, str] = {}
        self._decider = Decider(parts.planner, parts.checker, settings)
        self._memory = Memory()
        self._mover = Mover(parts.queue, settings.migrations_in_flight, parts.meter.note)
        self._trained_at_s: float | None = None
        self._window_lock = asyncio.Lock()  # no push while a thread copies the history's window
        self._pushed = PushOutcome()
        self._source_error = ""
        self._known_events = KnownEvents(parts.events)

    async def run(self) -> None:
        """Tick at every step boundary until cancelled; the first tick is at once."""
        await self.run_for(ticks=None)

    async def run_for(self, ticks: int | None) -> None:
        """Make so many ticks, one at every step boundary; None: for ever."""
        self._next_number = await self._parts.decisions.count()
        step_s = self._settings.step_s
        for _ in itertools.repeat(None) if ticks is None else range(ticks):
            await self._tick_safely()
            next_boundary_s = (int(self._parts.clock.now_s()) // step_s + 1) * step_s
            await self._parts.clock.sleep_until(next_boundary_s)

    async def tick(self) -> Decision | None:
        """Make one pass. Returns the decision, or None when there is nothing to decide on yet."""
        started_s = monotonic_s()
        # Before the look: what arrives while it is taken must not be planned with a stale owner.
        self._moving = await self._on_their_way()
        seen = await self._observer.look()
        outlook = await self._foresee(seen)
        self._seen, self._outlook = seen, outlook  # together: whoever asks in between gets the picture before
        self._ticks += 1
        if outlook is not None:
            await self._compare(seen.history, outlook)
        if outlook is None or self._mode is Mode.STATIC:
            return None
        decision, memory = await self._decide(seen, outlook, started_s)
        await self._parts.decisions.append(decision.number, decision.at_s, decision_document(decision))
        self._next_number = decision.number + 1
        self._decision, self._memory = decision, memory
        for admitted in decision.moves:
            if admitted.admission is Admission.ADMITTED:
                self._mover.send(admitted.move, decision.number)
        return decision

    # ---- the steps of a tick

    async def _tick_safely(self) -> None:
        try:
            self._mover.last_error = ""
            await self.tick()
            await self._train_if_due()
            self._last_error = self._parts.history.commit_error
        except PlbError as error:
            self._last_error = str(error)
            LOG.warning("tick failed: %s", error)
        except Exception as error:
            self._last_error = f"unexpected {type(error).__name__}: {error}"
            LOG.exception("tick failed")

    async def _on_their_way(self) -> dict[str, str]:
        """Return the destination of each order param that is being moved, whoever asked for it."""
        self._mover.drop_waiting()
        running = {
            record.order_param: record.destination for record in await self._recent_migrations() if not record.step.terminal
        }
        return {**running, **self._mover.on_their_way}

    async def _recent_migrations(self) -> tuple[MigrationRecord, ...]:
        """Return them newest first, and count those that the meter does not know yet."""
        records = await self._parts.queue.migrations(RECENT_MIGRATIONS)
        self._parts.meter.note_all(records)
        return records

    async def _train_if_due(self) -> None:
        """Start a training when the last one is old; networks found trained at the start count as trained then."""
        now_s = self._parts.clock.now_s()
        if self._mode is Mode.STATIC or self._parts.history.steps < self._surroundings.min_history_steps:
            return
        if self._trained_at_s is None and any(status.done for status in await self._parts.pool.training()):
            self._trained_at_s = now_s
        if self._trained_at_s is None or now_s - self._trained_at_s >= self._surroundings.retrain_every_s:
            self._trained_at_s = now_s
            async with self._window_lock:
                history = await asyncio.to_thread(self._parts.history.window, None)
            self._parts.pool.start_training(await self._known_events.added_to(history), self._horizons)

    async def _foresee(self, seen: Observation) -> Outlook | None:
        """Forecast both horizons and estimate the load; None while there is no history to forecast from."""
        history = await self._known_events.added_to(seen.history)
        try:
            made = await asyncio.gather(*(self._parts.pool.forecast(history, horizon) for horizon in self._horizons))
        except NoForecastError:
            return None
        forecasts = {forecast.horizon.name: forecast for forecast in made}
        estimate = estimate_load(
            short=forecasts["short"],
            medium=forecasts["medium"],
            medium_hours=self._settings.medium_hours,
            cost=self._observer.cost,
            level=self._settings.margin.levels,
            owner=seen.owner,
            correlation=self._parts.feedback.correlation,
            scenarios=self._parts.feedback.scenarios,
        )
        return Outlook(forecasts, estimate)

    async def _compare(self, history: RateHistory, outlook: Outlook) -> None:
        """Hold what has come against what was foreseen of it, then remember what is foreseen now."""
        gap_starts_s = self._parts.history.gap_starts_s(history.start_s)
        await self._parts.feedback.settle(history, gap_starts_s)
        for forecast in outlook.forecasts.values():
            self._parts.feedback.note(forecast)

    async def _decide(self, seen: Observation, outlook: Outlook, started_s: float) -> tuple[Decision, Memory]:
        """Return the decision, and what is to be remembered of it if it is carried out."""
        situation = self._situation(seen, outlook)
        orders = Orders(mode=self._mode)
        ruling, memory = await asyncio.to_thread(self._decider.decide, situation, orders, self._memory)
        if ruling.faults:
            LOG.error("plan refused: %s", "; ".join(ruling.faults))
        decision = Decision(
            number=self._next_number,
            at_s=seen.snapshot.at_s,
            mode=self._mode,
            plan=ruling.plan,
            moves=ruling.moves,
            faults=ruling.faults,
            sources=dict(Counter(outlook.forecasts["short"].sources)),
            tick_s=monotonic_s() - started_s,
            basis=ruling.basis,
            notes=(*ruling.notes, *self._observer.cost.notes),
            thrash=memory.thrash,
        )
        return decision, memory

    def _situation(self, seen: Observation, outlook: Outlook) -> Situation:
        return Situation(
            at_s=float(seen.history.end_s),
            step_s=self._settings.step_s,
            order_params=seen.history.order_params,
            shards=seen.shards,
            silent=frozenset(seen.snapshot.missing),
            owner=seen.owner,
            measured=seen.arriving,
            estimate=outlook.estimate,
            moving=self._moving,
        )

    # ---- the Balancer port

    async def status(self) -> BalancerStatus:
        """See `Balancer`."""
        migrations = await self._recent_migrations()
        seen = self._seen
        return BalancerStatus(
            mode=self._mode,
            ready=seen is not None,
            at_s=seen.snapshot.at_s if seen else None,
            ticks=self._ticks,
            headroom=self._settings.headroom,
            level=self._settings.level,
            shards=self._shard_views(),
            order_params=len(seen.mapping.placements) if seen else 0,
            migrations_active=sum(not record.step.terminal for record in migrations),
            migrations_done=sum(record.step is MigrationStep.DONE for record in migrations),
            migrations_rolled_back=sum(record.step is MigrationStep.ABORTED for record in migrations),
            training=await self._parts.pool.training(),
            queue_endpoint=self._surroundings.queue_endpoint,
            last_error=self._error_now(),
            restarts=self._surroundings.restarts,
            totals=self._parts.meter.totals(),
            history=self._history_view(),
        )

    async def forecast(self, order_param: str, horizon: str) -> OrderParamForecast:
        """See `Balancer`."""
        if self._outlook is None:
            raise NoForecastError("there is no forecast yet: the first tick, or its first step of history, is outstanding")
        forecast = self._outlook.forecasts.get(horizon)
        if forecast is None:
            raise NoForecastError(f"there is no horizon {horizon!r}; use short or medium")
        return forecast.of(order_param)

    async def history(self, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
        """See `Balancer`."""
        if self._seen is None or order_param not in self._seen.history.index:
            raise UnknownOrderParamError(order_param)
        recent = self._seen.history.rows((order_param,)).last(steps)
        starts_s = recent.start_s + recent.step_s * np.arange(recent.messages_per_s.shape[1])
        return tuple(zip(starts_s.astype(float).tolist(), recent.messages_per_s[0].astype(float).tolist(), strict=True))

    async def forecast_quality(self) -> tuple[ForecastQuality, ...]:
        """See `Balancer`."""
        return self._parts.feedback.quality()

    async def push_samples(self, batch: SampleBatch) -> PushOutcome:
        """See `Balancer`. Works in pieces, so that neither the tick nor a migration waits for a large batch."""
        history, until_s = self._parts.history, self._parts.clock.now_s() + CLOCKS_DIFFER_S
        cells, outcome = await asyncio.to_thread(to_cells, batch, history.step_s, until_s)
        for piece in cells.pieces(CELLS_AT_ONCE):
            async with self._window_lock:
                outcome = outcome.plus(history.push(piece))
            await asyncio.sleep(0)
        self._pushed = self._pushed.plus(outcome)
        return outcome

    def note_source_error(self, why: str) -> None:
        """Remember why samples could not be fetched, to be shown; empty if they could."""
        self._source_error = why

    async def mapping(self) -> Mapping:
        """See `Balancer`."""
        return await self._parts.queue.mapping()

    async def latest_decision(self) -> Decision | None:
        """See `Balancer`."""
        return self._decision

    async def dry_run(self) -> Decision:
        """See `Balancer`."""
        if self._seen is None or self._outlook is None:
            raise NoForecastError("there is no forecast yet: try again after the first tick")
        decision, _ = await self._decide(self._seen, self._outlook, monotonic_s())
        moves = tuple(AdmittedMove(move.move, Admission.DRY_RUN) for move in decision.moves)
        return Decision(**{**vars(decision), "moves": moves})

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        """See `Balancer`."""
        return await self._parts.queue.migrations(limit)

    async def migration(self, migration_id: str) -> MigrationRecord:
        """See `Balancer`."""
        return await self._parts.queue.migration(migration_id)

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """See `Balancer`."""
        try:
            return await self._parts.queue.timeline(migration_id)
        except UnknownMigrationError:
            raise
        except PermanentError:  # a queue system of somebody else's that keeps no timeline
            return (await self._parts.queue.migration(migration_id),)

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """See `Balancer`."""
        return await self._parts.queue.cancel(migration_id)

    async def migrate(self, request: MigrationRequest) -> MigrationRecord:
        """See `Balancer`."""
        following = self._parts.queue.migrate(request)
        return await anext(following)

    async def events(self) -> EventCalendar:
        """See `Balancer`."""
        return await asyncio.to_thread(self._parts.events.read)

    async def put_events(self, events: EventCalendar) -> CalendarChange:
        """See `Balancer`."""
        return await asyncio.to_thread(self._parts.events.put, events)

    async def remove_event(self, event_id: str) -> Event:
        """See `Balancer`."""
        return await asyncio.to_thread(self._parts.events.remove, event_id)

    def _last_look(self) -> tuple[Observation | None, LoadEstimate | None]:
        return self._seen, self._outlook.estimate if self._outlook else None

    def _history_and_lock(self) -> tuple[HistoryStore, asyncio.Lock, Observer]:
        return self._parts.history, self._window_lock, self._observer

    def _error_now(self) -> str:
        return self._last_error or self._mover.last_error or self._known_events.error or self._parts.feedback.error

    def _history_view(self) -> HistoryView:
        history = self._parts.history
        names = len(history.order_params)
        return HistoryView(history.step_s, history.steps, history.end_s, names, self._pushed, self._source_error)

    def _shard_views(self) -> tuple[ShardView, ...]:
        seen = self._seen
        if seen is None:
            return ()
        return shard_views(
            shards=seen.shards,
            snapshot=seen.snapshot,
            arriving=seen.arriving,
            rates=seen.rates,
            served_per_s=seen.served_per_s,
            past=seen.past,
            estimate=self._outlook.estimate if self._outlook else None,
            owner=seen.owner,
            headroom=self._settings.headroom,
        )


def decision_document(decision: Decision) -> dict[str, object]:
    """Return a decision as plain JSON values."""
    return asdict(decision)
