"""What the control loop answers: the `Balancer` port, from the pictures of its last tick. The ticks are in `control.loop`.

Answering never waits for a tick. What is asked of the queue or of the event calendar is passed on to them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.capacity_side import CapacitySide, day_ahead, fleet_picture
from plb_ray.control.known_events import KnownEvents
from plb_ray.control.look_answers import LookAnswers
from plb_ray.control.mover import Mover
from plb_ray.control.observation import Observer
from plb_ray.control.order_desk import OrderDesk
from plb_ray.control.order_param_table import order_param_table
from plb_ray.control.pictures import shard_views
from plb_ray.control.plan_desk import PlanDesk
from plb_ray.control.record import Record
from plb_ray.control.views import BalancerStatus, HistoryView, Mode
from plb_ray.domain.migration import MigrationStep
from plb_ray.domain.samples import PushOutcome
from plb_ray.errors import NotReadyError, PermanentError, UnknownMigrationError, UnknownOrderParamError
from plb_ray.history.samples import to_cells

if TYPE_CHECKING:
    from plb_ray.control.capacity_basis import CapacityBasis
    from plb_ray.control.elastic_keeper import ElasticKeeper, FleetPicture
    from plb_ray.control.fleet_view import FleetView
    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.observation import Observation
    from plb_ray.control.order_param_table import OrderParamTable
    from plb_ray.control.parts import Outlook, Parts, Surroundings
    from plb_ray.control.views import Decision, ShardView
    from plb_ray.domain.events import CalendarChange, Event, EventCalendar
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.domain.outcomes import Distance, OrderParamOutcomes
    from plb_ray.domain.rates import OrderParamForecast
    from plb_ray.domain.samples import SampleBatch
    from plb_ray.settings import BalancerSettings

RECENT_MIGRATIONS = 1000
CLOCKS_DIFFER_S = 5.0  # of those who push; a step of theirs may end a little before ours
CELLS_AT_ONCE = 2000  # a few milliseconds of the event loop, which migrations share


class Answers(LookAnswers):
    """What the loop knows between two ticks, and what of it is told. Use from one event loop."""

    def __init__(self, parts: Parts, settings: BalancerSettings, surroundings: Surroundings) -> None:
        self._parts = parts
        self._surroundings = surroundings
        self._settings = settings
        self._orders = OrderDesk(parts.orders, parts.queue, parts.clock.now_s, Mode(settings.mode))
        self._plans = PlanDesk(parts.plans, parts.clock.now_s, parts.scribe.note)
        self._observer = Observer(parts.queue, parts.history, surroundings.lookback_steps)
        self._mover = Mover(
            parts.queue.migrate, settings.migrations_in_flight, parts.meter.note, parts.scribe.migration_dropped
        )
        self._known_events = KnownEvents(parts.events)
        self._record = Record(parts, settings.headroom)
        self._seen: Observation | None = None
        self._viewed: tuple[Observation, Outlook | None, frozenset[str], tuple[ShardView, ...]] | None = None
        self._outlook: Outlook | None = None
        self._decision: Decision | None = None
        self._table: tuple[Observation, OrderParamTable] | None = None
        self._ticks = 0
        self._last_error = ""
        self._window_lock = asyncio.Lock()  # no push while a thread copies the history's window
        self._capacity = CapacitySide(parts.history, self._window_lock, self._observer)
        self._pushed = PushOutcome()
        self._source_error = ""
        self._fleet: ElasticKeeper | None = None
        self._advised_on: Observation | None = None

    async def status(self) -> BalancerStatus:
        """See `Balancer`."""
        migrations = await self._recent_migrations()
        seen, ordered = self._seen, self._orders.view
        return BalancerStatus(
            mode=ordered.orders.mode,
            mode_why=ordered.why,
            paused=ordered.orders.paused,
            approval=ordered.orders.approval,
            plans_awaiting=len(self._plans.awaiting),
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
            experience=self._record.experience,
            fleet=await self._managed_fleet(),
            counts=self._parts.counts.counts(seen, self._outlook, self._parts.clock.now_s()),
        )

    async def forecast(self, order_param: str, horizon: str) -> OrderParamForecast:
        """See `Balancer`."""
        return self._forecast_of(horizon).of(order_param)

    async def history(self, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
        """See `Balancer`."""
        if self._seen is None or order_param not in self._seen.history.index:
            raise UnknownOrderParamError(order_param)
        recent = self._seen.history.rows((order_param,)).last(steps)
        starts_s = recent.start_s + recent.step_s * np.arange(recent.messages_per_s.shape[1])
        return tuple(zip(starts_s.astype(float).tolist(), recent.messages_per_s[0].astype(float).tolist(), strict=True))

    async def order_params(self) -> OrderParamTable:
        """See `Balancer`. The look's table is made once, at the first question after it."""
        if self._seen is None:
            raise NotReadyError("the first tick is outstanding; ask again in a moment")
        if self._table is None or self._table[0] is not self._seen:
            seen = self._seen
            self._table = (seen, await asyncio.to_thread(order_param_table, seen))
        return self._table[1]

    async def forecast_quality(self) -> tuple[ForecastQuality, ...]:
        """See `Balancer`."""
        return self._parts.feedback.quality()

    async def outcomes(self, order_param: str, horizon: str, steps: int, distance: Distance) -> OrderParamOutcomes:
        """See `Balancer`."""
        if self._seen is None or order_param not in self._seen.history.index:
            raise UnknownOrderParamError(order_param)
        history = self._seen.history
        since_s = history.end_s - steps * history.step_s
        return await self._parts.feedback.outcomes(order_param, horizon, since_s, distance)

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

    async def capacity_basis(self) -> CapacityBasis:
        """See `Balancer`."""
        return await self._capacity.basis(self._seen)

    async def fleet_picture(self, migration_s: float, in_flight: int) -> FleetPicture | None:
        """See `capacity_side.fleet_picture`; it reaches a day ahead. None before the first tick."""
        seen, outlook = self._seen, self._outlook
        if seen is None:
            return None
        estimate = None
        if outlook is not None:
            levels, cost = self._settings.margin.levels, self._observer.cost
            estimate = await asyncio.to_thread(day_ahead, seen.owner, outlook.forecasts, cost, levels, self._parts.feedback)
        return fleet_picture(seen, estimate, migration_s, in_flight)

    def moves_held(self) -> str:
        """Return why no moves are sent now, in words; empty if they are."""
        orders = self._orders.view.orders
        if orders.paused:
            return "the balancer is paused, so no shards are started or drained"
        return "" if orders.mode.acts else f"in mode {orders.mode.value} no shards are started or drained"

    def follow_fleet(self, keeper: ElasticKeeper) -> None:
        """Let this keeper say how many shards there should be."""
        self._fleet = keeper

    async def fleet(self) -> FleetView:
        """See `Balancer`. A keeper that starts nothing makes a turn when it is asked after a new look."""
        keeper, seen = self._fleet, self._seen
        if keeper is None or seen is None:
            raise NotReadyError("nothing is known of the load yet: the first tick is outstanding")
        if not keeper.acts and self._advised_on is not seen:
            await keeper.turn()
            self._advised_on = seen
        return await keeper.view()

    async def _managed_fleet(self) -> FleetView | None:
        """Return what is done about the number of shards; None where nothing is, or nothing is known yet."""
        return await self._fleet.view() if self._fleet and self._fleet.acts and self._fleet.advice else None

    # ---- pictures

    async def _recent_migrations(self) -> tuple[MigrationRecord, ...]:
        """Return them newest first, and count those that the meter does not know yet."""
        records = await self._parts.queue.migrations(RECENT_MIGRATIONS)
        self._parts.meter.note_all(records)
        return records

    def _error_now(self) -> str:
        errors = (
            self._last_error,
            self._orders.error,
            self._mover.last_error,
            self._known_events.error,
            self._parts.feedback.error,
        )
        return next(filter(None, errors), self._record.error)

    def _history_view(self) -> HistoryView:
        history = self._parts.history
        names = len(history.order_params)
        return HistoryView(history.step_s, history.steps, history.end_s, names, self._pushed, self._source_error)

    def _shard_views(self) -> tuple[ShardView, ...]:
        """Return one view per shard, made anew after a tick or an order only: 10,000 order params take some 0.2 s."""
        seen, outlook, draining = self._seen, self._outlook, self._orders.view.orders.draining
        if seen is None:
            return ()
        if self._viewed is None or self._viewed[:2] != (seen, outlook) or self._viewed[2] != draining:
            views = shard_views(
                shards=seen.shards,
                snapshot=seen.snapshot,
                arriving=seen.arriving,
                rates=seen.rates,
                served_per_s=seen.served_per_s,
                past=seen.past,
                estimate=outlook.estimate if outlook else None,
                owner=seen.owner,
                headroom=self._settings.headroom,
                draining=draining,
            )
            self._viewed = (seen, outlook, draining, views)
        return self._viewed[3]
