"""Random histories: several order params, migrations, crashes, dead shards, lost calls and passing time, in any order."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from plb_ray.domain.migration import MigrationMode
from plb_ray.errors import OutcomeUnknownError, PlbError, ShardUnavailableError
from tests.migration.world import LEASE_S, Crash, World

SHARDS = ("a", "b", "c")
ORDER_PARAMS = ("x", "y")
names = st.sampled_from(ORDER_PARAMS)
shards = st.sampled_from(SHARDS)
modes = st.sampled_from(MigrationMode)
methods = st.sampled_from(
    ["copy_backlog", "begin", "pause", "seal", "seal", "resume", "update_mapping", "drain", "abort", "state"]
)


class Migrations(RuleBasedStateMachine):
    """A coordinator that is stepped a few turns of its event loop at a time, so that every interleaving can happen."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(SHARDS)
        self.requests = 0
        self.tasks = []

    @initialize()
    def begin(self):
        self._do(self._begin())

    async def _begin(self):
        await self.world.start()
        await self.world.coordinator.ensure(ORDER_PARAMS)

    @rule(name=names, count=st.integers(1, 8))
    def produce(self, name, count):
        """Whoever owns it takes appends, or says that it is paused."""
        self.world.produce(name, count)

    @rule(name=names, limit=st.integers(1, 8), ack=st.booleans())
    def consume(self, name, limit, ack):
        """What is delivered is in order, and nothing is left out."""
        self.world.consume(name, limit, ack=ack)

    @rule(name=names)
    def replace_consumer(self, name):
        """A consumer that has handled nothing yet begins with what is not acknowledged, on whatever shard that is."""
        self.world.replace_consumer(name)

    @rule(name=names, destination=shards, mode=modes)
    def migrate(self, name, destination, mode):
        """Ask for a migration from where the mapping says it lives; refusals are fine."""
        self.requests += 1
        source = self.world.mapping.placements[name].owner
        request = self.world.migrate(name, source, destination, f"m{self.requests}", mode)
        self.tasks.append(self.loop.create_task(_tolerant(request)))

    @rule(turns=st.integers(1, 60))
    def run(self, turns):
        """Let everything go on a little."""
        self._do(_turns(turns))

    @rule(seconds=st.sampled_from([0.5, LEASE_S + 1]))
    def pass_time(self, seconds):
        """Leases end."""
        self.world.clock.advance(seconds)

    @rule(shard_id=shards)
    def stop_shard(self, shard_id):
        self.world.shards[shard_id].stop()

    @rule(shard_id=shards)
    def restart_shard(self, shard_id):
        self.world.shards[shard_id].restart()

    @rule(method=methods, reply=st.booleans())
    def lose_a_call(self, method, reply):
        """The next such call to any shard is lost, or its reply."""
        error = OutcomeUnknownError("lost") if reply else ShardUnavailableError("?", "?", "lost")
        self.world.plan[f"{method}/{'after' if reply else 'before'}"] = error

    @rule(name=names, destination=shards, mode=modes, method=methods, reply=st.booleans())
    def lose_a_call_of_a_migration(self, name, destination, mode, method, reply):
        """Among shards that are all up a migration loses a call, and is given the time to cope with it."""
        self.restart_all_shards()
        self.lose_a_call(method, reply)
        self.migrate(name, destination, mode)
        self._do(_turns(150))

    @rule(name=names, destinations=st.lists(shards, min_size=2, max_size=4), count=st.integers(1, 4))
    def chain(self, name, destinations, count):
        """Segments pile up, one behind the other, as the appends are taken from shard to shard."""
        self.restart_all_shards()
        for destination in destinations:
            self.produce(name, count)
            self.migrate(name, destination, MigrationMode.CHAIN)
            self._do(_turns(100))

    @rule()
    def restart_all_shards(self):
        for shard in self.world.shards.values():
            shard.restart()

    @rule()
    def tell_and_ask(self):
        """What shards see to by themselves comes due: segments that have ended are told of, hand-overs confirmed."""
        self._do(self.world.heralds())

    @rule(name=names, destination=shards, mode=modes, ahead=st.integers(0, 60))
    def crash_in_a_migration(self, name, destination, mode, ahead):
        """The process ends at some boundary of a migration, and a new one takes over at once."""
        self.migrate(name, destination, mode)
        self.world.plan[len(self.world.passed) + ahead] = Crash()
        self._do(_turns(ahead * 3))
        self.crash_coordinator()

    @rule()
    def crash_coordinator(self):
        """The process ends between two calls."""
        self._do(self._replace_coordinator())

    async def _replace_coordinator(self):
        await self.world.crash()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        self.world.plan = {where: act for where, act in self.world.plan.items() if not isinstance(act, Crash)}
        await self.world.start()

    def teardown(self):
        """In the end each order param is served by one shard, nothing was lost, reordered or doubled."""
        try:
            if self.world.coordinator is not None:
                self._do(self._end())
        finally:
            self.loop.close()

    async def _end(self):
        await self.world.settle()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.world.check_served(*ORDER_PARAMS)
        await self._replace_coordinator()  # cleans up imports whose destination was away when they were undone
        await self.world.settle()
        await self.world.check(*ORDER_PARAMS)

    def _do(self, coroutine):
        self.loop.run_until_complete(coroutine)


async def _tolerant(request):
    with contextlib.suppress(PlbError, Crash):
        await request


async def _turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


def test_any_history():
    """Whatever happens in whatever order: never two owners, order kept, nothing lost or doubled, nothing stuck."""
    run_state_machine_as_test(
        Migrations,
        settings=settings(
            max_examples=90,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
