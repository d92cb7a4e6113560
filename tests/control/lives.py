"""Lives of a control loop, one after the other, over one queue in memory and one journal on disk."""

import asyncio

from a_queue import HandClock, MemoryQueue
from test_control_loop import RATE_PER_SHARD, START_S, STEADY, STEP_S, BaselinePool

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.loop import ControlLoop
from plb_ray.control.orders import OrdersChange
from plb_ray.control.orders_port import PlanQuery
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.domain.champions import ChampionStanding
from plb_ray.history.store import HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.journal.journal import open_journal
from plb_ray.settings import BalancerSettings

SETTINGS = BalancerSettings("predictive", approval_expires_s=36_000.0, step_s=STEP_S, headroom=0.8, solver_budget_s=2.0)
ADA = "ada"


class Champions:
    """Says who serves, as the test wants."""

    def __init__(self):
        self.of = {}

    def standing(self, horizon):
        return self.of.get(horizon, ChampionStanding())


class Lives:
    """A queue that lives on, and loops over one journal, one after the other."""

    def __init__(self, folder, settings=SETTINGS, shards=("s0", "s1")):
        self.folder, self.settings = folder, settings
        self.clock = HandClock(START_S)
        self.queue = MemoryQueue(self.clock, {"a": "s0", "b": "s0", "c": "s1"}, shards, RATE_PER_SHARD)
        self.champions = Champions()
        self.journal = self.history = self.loop = None

    async def start(self):
        """Begin a life: what was in memory is gone, what is on disk is there."""
        await self.stop()
        self.journal = await open_journal(self.folder / "journal.sqlite")
        self.history = HistoryStore.open(self.folder / "history", STEP_S)
        kept = (self.history, self.journal.decisions, self.clock, CalendarStore(self.folder))
        parts = Parts(
            *(self.queue, BaselinePool(), CompositePlanner(), PlanVerifier(), *kept),
            orders=self.journal.orders,
            plans=self.journal.plans,
            champions=self.champions,
        )
        self.loop = ControlLoop(parts, self.settings, Surroundings("memory:queue", 2000, 3600.0, 3))

    async def stop(self):
        if self.journal is not None:
            await self.journal.close()
            self.history.close()

    async def steps(self, count, messages=STEADY):
        """Tick, then let `count` steps pass with these messages, and tick at the end of each; return the last decision."""
        decision = await self.tick()
        for _ in range(count):
            self.queue.arrive(messages)
            self.clock.at_s += STEP_S
            decision = await self.tick()
        return decision

    async def tick(self):
        decision = await self.loop.tick()
        for _ in range(3):
            await asyncio.sleep(0)  # what was sent begins, and is over: migrations here take no time
        return decision

    async def order(self, **change):
        return await self.loop.change_orders(OrdersChange(ADA, **change))

    async def states(self):
        return [plan.state.value for plan in await self.loop.plans(PlanQuery())]
