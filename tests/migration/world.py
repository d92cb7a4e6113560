"""A small world for tests of the protocol: shards in memory, a coordinator that can crash, a producer and a consumer.

Every call to a shard, the journal or the mapping passes two boundaries, one before and one after it takes effect. At each
boundary the world checks that at most one shard owns an order param, and may do what a test planned for that boundary.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from plb_ray.domain.migration import MigrationMode, MigrationRequest
from plb_ray.errors import MovedError, PlbError, StaleEpochError, UnknownOrderParamError
from plb_ray.migration.ports import Ownership
from plb_ray.migration.settings import MigrationSettings
from plb_ray.queues.chain_keeper import ChainSettings
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from plb_ray.simulation.checker import OrderChecker
from plb_ray.simulation.storm.consumers import Application
from tests.migration.client import Client
from tests.migration.memory_shard import MemoryShard, VirtualClock
from tests.migration.memory_stores import MemoryJournal, MemoryMapping

LEASE_S = 5.0
SETTINGS = CoordinatorSettings(
    migration=MigrationSettings(lease_ms=int(LEASE_S * 1000), tail_messages=3, precopy_rounds=3, chunk_messages=4),
    chains=ChainSettings(look_s=0.001),  # waiting passes the time at once
)
CHAIN_TURNS = 200  # of the event loop, within which the mapping is brought up to date
_SYNCHRONOUS = ("shard_id", "endpoint")
_STREAMS = ("states", "copy_backlog", "drain")


class Crash(BaseException):
    """The coordinator's process ends here. No handler in the product may catch it."""


class Boundaries:
    """Wraps a port: `at(where)` is called before and after each of its calls, with a name such as "a.seal/after"."""

    def __init__(self, port, name, at):
        self._port, self._name, self._at = port, name, at

    def __getattr__(self, method):
        found = getattr(self._port, method)
        if method in _SYNCHRONOUS:
            return found
        where = f"{self._name}.{method}"

        async def call(*args, **kwargs):
            await self._at(f"{where}/before")
            result = await found(*args, **kwargs)
            await self._at(f"{where}/after")
            return result

        async def stream(*args, **kwargs):
            await self._at(f"{where}/before")
            async for item in found(*args, **kwargs):
                yield item
                await self._at(f"{where}/within")
            await self._at(f"{where}/after")

        return stream if method in _STREAMS else call


class World:
    """`plan`: a boundary ("a.seal/after"; "seal/after" on any shard; its number) -> what to do there, once.

    What to do is a coroutine function, or an exception to raise.
    """

    def __init__(self, shard_ids=("a", "b", "c"), settings=SETTINGS):
        self.clock = VirtualClock()
        self.peers = {}
        self.shards = {shard_id: MemoryShard(shard_id, self.clock, self.peers) for shard_id in shard_ids}
        self.journal = MemoryJournal()
        self.mapping = MemoryMapping()
        self.checker = OrderChecker()
        self.application = Application(self.checker)
        self.plan = {}
        self.passed = []
        self.settings = settings
        self._numbers = Counter()
        self._known = {}
        self._clients = {}
        self._lives = Counter()
        self.coordinator = None

    # The coordinator

    async def start(self):
        """Start a coordinator on what there is; the one before must have crashed."""
        ports = [Boundaries(shard, name, self._at) for name, shard in self.shards.items()]
        journal = Boundaries(self.journal, "journal", self._at)
        mapping = Boundaries(self.mapping, "mapping", self._at)
        self.coordinator = Coordinator(ports, journal, mapping, self.clock, self.settings, sleep=self.clock.sleep)
        await self.coordinator.start()
        return self.coordinator

    async def crash(self):
        await self.coordinator.close()

    async def migrate(self, order_param, source, destination, request_id="m1", mode=MigrationMode.COPY):
        """Run a migration to its end and return its last record."""
        request = MigrationRequest(request_id, order_param, source, destination, "test", mode)
        last = None
        async for record in self.coordinator.migrate(request):
            last = record
        return last

    # Producer and consumer

    def produce(self, order_param, count=1):
        """Append messages one by one, following redirects; return how many were accepted before one was refused."""
        for done in range(count):
            number = self._numbers[order_param] + 1
            if not self._appended(order_param, number):
                return done
            self._numbers[order_param] = number
        return count

    def consume(self, order_param, limit=100, *, ack=True):
        """Let the client poll all shards; return how many messages it was given that continue the sequence."""
        return self._client(order_param).turn(limit, ack=ack)

    def replace_consumer(self, order_param):
        """Let its consumer die; the next one has another name, and knows of nothing."""
        self._clients.pop(order_param, None)
        self._lives[order_param] += 1

    def owner(self, order_param):
        """Return (shard id, epoch) of the one shard that is ACTIVE or PAUSED; None if there is none."""
        owners = [
            (shard_id, state.epoch)
            for shard_id, shard in self.shards.items()
            if (state := shard.look(order_param)).ownership in (Ownership.ACTIVE, Ownership.PAUSED)
        ]
        assert len(owners) <= 1, f"two owners of {order_param}: {owners}"
        return owners[0] if owners else None

    # Checks

    async def settle(self):
        """Heal everything, let every migration end and every lease run out."""
        for shard in self.shards.values():
            if not shard.up:
                shard.restart()
        self.plan.clear()
        await asyncio.wait_for(self.coordinator.settled(), timeout=10)
        self.clock.advance(LEASE_S * 2)

    async def heralds(self):
        """Let what the heralds have to do come due, and do it; return how many duties there were."""
        self.clock.advance(LEASE_S * 2)
        duties = sum([shard.herald_round() for shard in self.shards.values()])
        for _ in range(20 if duties else 0):
            await asyncio.sleep(0)
        return duties

    async def consume_all(self, *order_params):
        """Consume and let segments advance until nothing is left to do."""
        for _ in range(100):
            new = sum([self.consume(order_param) for order_param in order_params])
            if not await self.heralds() and not new:
                return
            if not new:
                for order_param in order_params:
                    self._client(order_param).give_up_waiting()
        raise AssertionError("segments do not come to their end")

    async def check(self, *order_params):
        """After `settle`: served by one shard, which the mapping names; nothing lost, nothing left over."""
        await self.check_served(*order_params)
        for order_param in order_params:
            for shard_id, shard in self.shards.items():
                if shard_id != self.owner(order_param)[0]:
                    assert shard.look(order_param).ownership in (Ownership.SEALED, Ownership.NONE), shard_id
                    assert shard.stored_seqs(order_param) == [], f"{shard_id} was not drained"
            await self._check_no_chain(order_param)

    async def check_served(self, *order_params):
        """After `settle`: every migration has ended; each order param is served in order by the shard the mapping names."""
        assert await self.journal.unfinished() == ()
        for order_param in order_params:
            owner = self.owner(order_param)
            assert owner is not None, f"{order_param} has no owner"
            placement = (await self.coordinator.mapping()).placements[order_param]
            assert (placement.owner, placement.epoch) == owner
            assert self.mapping.placements[order_param] == placement
            assert self.produce(order_param, 2) == 2, f"{order_param} is stuck"
        await self.consume_all(*order_params)
        verdict = self.checker.verdict()
        assert verdict.clean, verdict.examples

    # Parts

    async def _check_no_chain(self, order_param):
        """Once all is consumed no segment is left, nobody waits for one, and the mapping names the owner alone."""
        for shard_id, shard in self.shards.items():
            state = shard.look(order_param)
            assert (state.segments, state.behind) == ((), False), f"{shard_id}: {state}"
        for _ in range(CHAIN_TURNS):
            if len(self.mapping.placements[order_param].shards) == 1:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"the mapping still has a chain: {self.mapping.placements[order_param]}")

    def _client(self, order_param):
        if order_param not in self._clients:
            name = f"c{self._lives[order_param]}"
            self._clients[order_param] = Client(name, order_param, self.shards, self.application.work)
        return self._clients[order_param]

    def _appended(self, order_param, number):
        shard_id, epoch = self._known.get(order_param) or self._resolved(order_param)
        for _ in range(len(self.shards) + 1):
            try:
                seq, _ = self.shards[shard_id].append(order_param, epoch, "p", number, [b"x"])
            except MovedError as moved:
                shard_id, epoch = moved.shard_id, moved.epoch
            except (StaleEpochError, UnknownOrderParamError):
                shard_id, epoch = self._resolved(order_param)
            except PlbError:
                return False
            else:
                self._known[order_param] = (shard_id, epoch)
                self.checker.appended(order_param, seq, 1, shard_id, epoch)
                return True
        return False

    def _resolved(self, order_param):
        placement = self.mapping.placements[order_param]
        return placement.owner, placement.epoch

    async def _at(self, where):
        await asyncio.sleep(0)
        for order_param in self.mapping.placements:
            self.owner(order_param)
        number = len(self.passed)
        self.passed.append(where)
        act = next((self.plan.pop(key) for key in (number, where, where.partition(".")[2]) if key in self.plan), None)
        if act is None:
            return
        if isinstance(act, BaseException):
            raise act
        await act()
