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
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.context import named
from plb_ray.control.answers import Answers
from plb_ray.control.auto_mode import SHORT
from plb_ray.control.damping import THRASH_S, Memory
from plb_ray.control.deciding import Decider
from plb_ray.control.foresight import Foresight
from plb_ray.control.inputs import inputs_of
from plb_ray.control.plan_clerk import Carried, PlanClerk
from plb_ray.control.recall import recalled
from plb_ray.control.shard_loads import shard_loads
from plb_ray.control.situation import Situation
from plb_ray.control.views import Admission, AdmittedMove, Decision, Mode
from plb_ray.domain.audit import DecisionQuery
from plb_ray.errors import NoForecastError, PlbError
from plb_ray.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.control.deciding import Ruling
    from plb_ray.control.observation import Observation
    from plb_ray.control.orders import Orders, OrdersChange, OrdersView
    from plb_ray.control.orders_port import PlanAct, PlanQuery, PlanSave
    from plb_ray.control.parts import Outlook, Parts, Surroundings
    from plb_ray.control.saved_plans import SavedPlan
    from plb_ray.control.stating import Course
    from plb_ray.settings import BalancerSettings

    Decide = Callable[[Situation, Orders, Memory], tuple[Ruling, Memory]]

LOG = logging.getLogger("plb.control")
RECALLED_MOST = 2000  # decisions with moves of a predecessor


class ControlLoop(Answers):
    """Implements `plb_ray.control.views.Balancer`. Use from one event loop."""

    def __init__(self, parts: Parts, settings: BalancerSettings, surroundings: Surroundings) -> None:
        super().__init__(parts, settings, surroundings)
        self._foresight = Foresight(parts, settings, self._known_events)
        self._decider = Decider(parts.planner, parts.checker, settings)
        self._memory = Memory()
        self._moving: dict[str, str] = {}
        self._next_number = 0
        self._trained_at_s: float | None = None
        self._clerk = PlanClerk(self._plans, self._orders, self._carry, settings.approval_expires_s)
        self._beginning, self._begun = asyncio.Lock(), False

    async def run(self) -> None:
        """Tick at every step boundary until cancelled; the first tick is at once."""
        await self.run_for(ticks=None)

    async def run_for(self, ticks: int | None) -> None:
        """Make so many ticks, one at every step boundary; None: for ever."""
        step_s = self._settings.step_s
        for _ in itertools.repeat(None) if ticks is None else range(ticks):
            await self._tick_safely()
            next_boundary_s = (int(self._parts.clock.now_s()) // step_s + 1) * step_s
            await self._parts.clock.sleep_until(next_boundary_s)

    async def tick(self) -> Decision | None:
        """Make one pass. Returns the decision, or None when there is nothing to decide on yet."""
        started_s = monotonic_s()
        await self._begin()
        await self._record.begin(self._observer)
        # Before the look: what arrives while it is taken must not be planned with a stale owner.
        self._moving = await self._on_their_way()
        seen = await self._observer.look()
        self._record.learned(self._observer, seen.snapshot.at_s)
        outlook = await self._foresight.foresee(seen, self._observer.cost)
        self._seen, self._outlook = seen, outlook  # together: whoever asks in between gets the picture before
        self._ticks += 1
        if outlook is not None:
            await self._foresight.compare(seen.history, outlook)
            await self._learn_mode()
            await self._record.settle(self._situation(seen, outlook))
        async with self._clerk.turn:
            await self._clerk.carry_on()
            if outlook is None or self._orders.view.orders.mode is Mode.STATIC:
                return None
            situation = self._situation(seen, outlook)
            waiting = self._plans.of_a_tick
            decide = partial(self._decider.decide, waiting=waiting.plan.moves if waiting else ())
            decision = await self._act(*await self._ruled(situation, outlook, decide, started_s))
            await self._clerk.put_before_people(decision)
        return decision

    # ---- the steps of a tick

    async def _begin(self) -> None:
        """Take up, once, what a predecessor has left: orders, plans, and what it has moved lately."""
        async with self._beginning:
            if self._begun:
                return
            await self._orders.open()
            await self._plans.open()
            self._next_number = await self._parts.decisions.count()
            now_s = self._parts.clock.now_s()
            query = DecisionQuery(limit=RECALLED_MOST, since_s=now_s - THRASH_S, admission=Admission.ADMITTED)
            decisions = await self._parts.decisions.find(query)
            if decisions:
                placements = (await self._parts.queue.mapping()).placements
                heading = {name: placement.owner for name, placement in placements.items()}
                self._memory = recalled(reversed(decisions), now_s, {**heading, **await self._under_way()})
            await self._foresight.look_at_champions()
            self._begun = True

    async def _tick_safely(self) -> None:
        started_s = monotonic_s()
        failed = True
        try:
            self._mover.last_error = ""
            with named(tick=str(self._next_number)), span("tick", tick__number=self._next_number):
                await self.tick()
            await self._train_if_due()
            self._last_error = self._parts.history.commit_error
            failed = False
        except PlbError as error:
            self._last_error = str(error)
            LOG.warning("tick failed: %s", error)
        except Exception as error:
            self._last_error = f"unexpected {type(error).__name__}: {error}"
            LOG.exception("tick failed")
        finally:
            self._parts.counts.ticked(monotonic_s() - started_s, failed=failed)

    async def _on_their_way(self) -> dict[str, str]:
        """Return the destination of each order param that is being moved, whoever asked for it."""
        self._mover.drop_waiting()
        return await self._under_way()

    async def _under_way(self) -> dict[str, str]:
        running = {
            record.order_param: record.destination for record in await self._recent_migrations() if not record.step.terminal
        }
        return {**running, **self._mover.on_their_way}

    async def _train_if_due(self) -> None:
        """Start a training when the last one is old; networks found trained at the start count as trained then."""
        now_s = self._parts.clock.now_s()
        if self._orders.view.orders.mode is Mode.STATIC or self._parts.history.steps < self._surroundings.min_history_steps:
            return
        if self._trained_at_s is None and any(status.done for status in await self._parts.pool.training()):
            self._trained_at_s = now_s
        if self._trained_at_s is None or now_s - self._trained_at_s >= self._surroundings.retrain_every_s:
            self._trained_at_s = now_s
            async with self._window_lock:
                history = await asyncio.to_thread(self._parts.history.window, None)
            self._parts.pool.start_training(await self._known_events.added_to(history), self._foresight.horizons)
            self._record.training_started(
                tuple(each.name for each in self._foresight.horizons), history.messages_per_s.shape[1]
            )

    async def _learn_mode(self) -> None:
        """Look what the mode `auto` comes to now."""
        proved = await self._orders.learn(self._foresight.champions[SHORT], self._parts.feedback.quality())
        if proved:
            self._parts.scribe.note("forecasts.proved", SHORT, detail=proved)

    async def _ruled(
        self, situation: Situation, outlook: Outlook | None, decide: Decide, started_s: float
    ) -> tuple[Decision, Memory, Course]:
        """Return the decision, what is to be remembered of it if it is carried out, and the load it was planned on."""
        orders = self._orders.view.orders
        ruling, memory = await asyncio.to_thread(decide, situation, orders, self._memory)
        if ruling.faults:
            LOG.error("plan refused: %s", "; ".join(ruling.faults))
        decision = Decision(
            number=self._next_number,
            at_s=self._seen.snapshot.at_s if self._seen else situation.at_s,
            mode=orders.mode,
            plan=ruling.plan,
            moves=ruling.moves,
            faults=ruling.faults,
            sources=dict(Counter(outlook.forecasts[SHORT].sources)) if outlook else {},
            tick_s=monotonic_s() - started_s,
            basis=ruling.basis,
            notes=(*ruling.notes, *self._observer.cost.notes),
            thrash=memory.thrash,
            inputs=inputs_of(ruling.course, ruling.plan.moves, orders, self._memory, self._settings),
            loads=shard_loads(ruling.course, ruling.plan.moves, self._settings.headroom),
        )
        return decision, memory, ruling.course

    async def _act(self, decision: Decision, memory: Memory, course: Course) -> Decision:
        """Record a decision, then carry it out."""
        await self._record.keep(decision, course)
        self._next_number = decision.number + 1
        self._decision, self._memory = decision, memory
        self._parts.counts.decided(decision, memory.guard)
        self._mover.send(decision.sent, decision.number)
        return decision

    async def _carry(self, plan: SavedPlan) -> Carried:
        """Send what may be sent now of a plan that people have approved, as a decision of its own."""
        seen, outlook = self._seen, self._outlook
        if seen is None:
            return Carried(len(plan.plan.moves))
        self._moving = await self._under_way()
        owners = {name: placement.owner for name, placement in (await self._parts.queue.mapping()).placements.items()}
        left = [move for move in plan.plan.moves if owners.get(move.order_param) != move.destination]
        to_send = [move for move in left if self._moving.get(move.order_param) != move.destination]
        if not to_send:
            return Carried(len(left))
        situation = self._situation(seen, outlook).with_owners(owners)
        carry_out = partial(self._decider.carry_out, moves=to_send)
        decision, memory, course = await self._ruled(situation, outlook, carry_out, monotonic_s())
        note = f"carries out {plan.plan_id}, approved by {plan.approved_by}"
        await self._act(replace(decision, notes=(*decision.notes, note)), memory, course)
        self._moving |= self._mover.on_their_way
        return Carried(len(left), decision.faults)

    def _situation(self, seen: Observation, outlook: Outlook | None) -> Situation:
        return Situation(
            at_s=float(seen.history.end_s),
            step_s=self._settings.step_s,
            order_params=seen.history.order_params,
            shards=seen.shards,
            silent=frozenset(seen.snapshot.missing),
            owner=seen.owner,
            measured=seen.arriving,
            estimate=outlook.estimate if outlook else None,
            moving=self._moving,
            lead_s=self._parts.meter.lead_s * self._surroundings.speed,
            distrust=self._foresight.distrust,
            experience=self._record.experience,
            past=outlook.past if outlook else None,
        )

    # ---- the Balancer port, beside `Answers`

    async def dry_run(self) -> Decision:
        """See `Balancer`."""
        if self._seen is None or self._outlook is None:
            raise NoForecastError("there is no forecast yet: try again after the first tick")
        situation = self._situation(self._seen, self._outlook)
        decision, _, _ = await self._ruled(situation, self._outlook, self._decider.decide, monotonic_s())
        moves = tuple(AdmittedMove(move.move, Admission.DRY_RUN) for move in decision.moves)
        return Decision(**{**vars(decision), "moves": moves})

    async def orders(self) -> OrdersView:
        """See `Balancer`."""
        await self._begin()
        return self._orders.view

    async def change_orders(self, change: OrdersChange) -> OrdersView:
        """See `Balancer`."""
        await self._begin()
        return await self._orders.change(change)

    async def plans(self, query: PlanQuery) -> tuple[SavedPlan, ...]:
        """See `Balancer`."""
        await self._begin()
        return await self._plans.find(query)

    async def plan(self, plan_id: str) -> SavedPlan:
        """See `Balancer`."""
        await self._begin()
        return await self._plans.get(plan_id)

    async def save_plan(self, save: PlanSave) -> SavedPlan:
        """See `Balancer`."""
        return await self._clerk.save(save, await self.dry_run())

    async def approve_plan(self, act: PlanAct) -> SavedPlan:
        """See `Balancer`."""
        await self._begin()
        return await self._clerk.approve(act)

    async def execute_plan(self, act: PlanAct) -> SavedPlan:
        """See `Balancer`."""
        await self._begin()
        return await self._clerk.execute(act)

    async def cancel_plan(self, act: PlanAct) -> SavedPlan:
        """See `Balancer`."""
        await self._begin()
        return await self._clerk.cancel(act)
