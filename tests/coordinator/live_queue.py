"""A whole queue for tests: shard processes, a coordinator with its journal on disk, QueueControl, a producer, a consumer.

`plan` is as in `tests.migration.world`: what to do at a boundary of a call that the coordinator makes.
"""

from __future__ import annotations

import asyncio
import contextlib

from plb_ray.client import Consumer, Producer, QueueResolver
from plb_ray.clock import WallClock
from plb_ray.domain.migration import MigrationRequest
from plb_ray.journal.journal import open_journal
from plb_ray.migration.settings import MigrationSettings
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.simulation.checker import OrderChecker
from tests.migration.world import Boundaries
from tests.shard.real_shards import real_shards

LEASE_MS = 1500


class LiveQueue:
    """Made by `live_queue`. `crash` and `start` replace the coordinator; the shards go on."""

    def __init__(self, shards, directory, **migration):
        self.shards = {shard.process.shard_id: shard for shard in shards}
        self.plan = {}
        self.passed = []
        settings = MigrationSettings(**({"lease_ms": LEASE_MS} | migration))
        self.settings = CoordinatorSettings(answer_s=1.0, survey_s=3.0, migration=settings)
        self.coordinator = self.journal = self.server = None
        self.endpoint = "127.0.0.1:0"
        self._path = directory / "journal.sqlite"
        self._ports = []

    async def start(self):
        """Open the journal, recover, and serve on the same port as before."""
        self.journal = await open_journal(self._path)
        self._ports = [ShardClient(name, shard.process.endpoint) for name, shard in self.shards.items()]
        ports = [Boundaries(port, port.shard_id, self._at) for port in self._ports]
        journal = Boundaries(self.journal, "journal", self._at)
        mapping = Boundaries(self.journal.mapping, "mapping", self._at)
        self.coordinator = Coordinator(ports, journal, mapping, WallClock(), self.settings)
        await self.coordinator.start()
        servicers = {"QueueControl": QueueControlServicer(self.coordinator)}
        self.server = await start_server(self.endpoint, servicers, "QueueControl")
        self.endpoint = self.server.endpoint

    async def crash(self):
        """Drop the coordinator with all it does; the operating system would close its connections and its journal."""
        await self.server.stop(0)
        await self.coordinator.close()
        await asyncio.gather(*(port.close() for port in self._ports))
        await self.journal.close()

    async def migrate(self, order_param, source, destination, request_id="m1"):
        """Run a migration to its end and return its last record."""
        last = None
        async for record in self.coordinator.migrate(MigrationRequest(request_id, order_param, source, destination, "test")):
            last = record
        return last

    async def _at(self, where):
        self.passed.append(where)
        act = self.plan.pop(where, None)
        if isinstance(act, BaseException):
            raise act
        if act is not None:
            await act()


@contextlib.asynccontextmanager
async def live_queue(directory, count=2, *, migration=None, **options):
    """Start everything, and stop everything whatever happens."""
    async with real_shards(directory, count, **options) as shards:
        live = LiveQueue(shards, directory, **(migration or {}))
        await live.start()
        try:
            yield live
        finally:
            await live.crash()


class LiveTraffic:
    """One producer and one consumer that find their way by QueueControl, under the eyes of the order checker."""

    timeout_s = 60.0

    def __init__(self, live, names):
        self.checker = OrderChecker()
        self.acknowledged = 0
        self._names = names
        self._sending = True
        self._resolver = QueueResolver(live.endpoint)
        self._producer = Producer(self._resolver, "producer")
        self._consumer = Consumer(self._resolver.endpoints, self._resolver, self._consumed, "consumer", linger_s=0.002)

    @contextlib.asynccontextmanager
    async def running(self):
        """Send and consume; at the end stop sending and wait until everything is consumed."""
        consuming = asyncio.create_task(self._consumer.run())
        sending = [asyncio.create_task(self._send(name)) for name in self._names]
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.sent(20)
                yield self
                await self.sent(20)
                self._sending = False
                await asyncio.gather(*sending)
                while self.checker.outstanding():  # noqa: ASYNC110 - bounded by the timeout
                    await asyncio.sleep(0.005)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            await self._producer.close()
            await self._consumer.stop()
            await consuming
            await self._resolver.close()

    async def sent(self, more):
        """Return when so many more messages are acknowledged."""
        goal = self.acknowledged + more
        while self.acknowledged < goal:  # noqa: ASYNC110 - bounded by the test's timeout
            await asyncio.sleep(0.002)

    def assert_clean(self):
        """Nothing lost, doubled or out of order, and the checker has seen it all."""
        verdict = self.checker.verdict()
        assert verdict.clean, verdict.examples
        assert verdict.consumed == verdict.sent == self.acknowledged

    async def _send(self, name):
        while self._sending:
            receipt = await self._producer.send(name, [b"x" * 50] * 3)
            self.acknowledged += 3
            self.checker.appended(name, receipt.last_seq, 3, receipt.shard_id, receipt.epoch)
            await asyncio.sleep(0.003)

    def _consumed(self, delivered):
        self.checker.consumed(delivered.order_param, delivered.seq, delivered.producer, delivered.producer_seq)
