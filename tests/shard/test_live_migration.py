"""Producer and consumer at work while order params move between real shards, and shards die."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.client import Consumer, Producer
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.simulation.checker import OrderChecker
from tests.shard.real_shards import TableResolver, migrated, reachable, real_shards

pytestmark = pytest.mark.shards


class Traffic:
    """Producers and one consumer under the eyes of the order checker."""

    def __init__(self, shards, names, producers=2):
        self.resolver = TableResolver(shards)
        self.checker = OrderChecker()
        self.names = names
        self.producers = [Producer(self.resolver, f"producer-{place}") for place in range(producers)]
        self.consumer = Consumer(self.resolver.endpoints, self.resolver, self._consumed, "consumer", linger_s=0.001)
        self.acknowledged = 0
        self._sending = True

    def _consumed(self, delivered):
        self.checker.consumed(delivered.order_param, delivered.seq, delivered.producer, delivered.producer_seq)

    async def _send(self, producer, name):
        while self._sending:
            receipt = await producer.send(name, [b"x" * 50] * 3)
            self.acknowledged += 3
            self.checker.appended(name, receipt.last_seq, 3, receipt.shard_id, receipt.epoch)
            await asyncio.sleep(0.002)

    async def sent(self, more):
        """Return when so many more messages are acknowledged."""
        goal = self.acknowledged + more
        while self.acknowledged < goal:  # noqa: ASYNC110 - bounded by the test's timeout
            await asyncio.sleep(0.002)

    @contextlib.asynccontextmanager
    async def running(self):
        """Send and consume; at the end stop sending and wait until all is consumed."""
        consuming = asyncio.create_task(self.consumer.run())
        sending = [asyncio.create_task(self._send(one, name)) for one in self.producers for name in self.names]
        try:
            async with asyncio.timeout(60):
                yield
                self._sending = False
                await asyncio.gather(*sending)
                while self.checker.outstanding():  # noqa: ASYNC110 - bounded by the timeout
                    await asyncio.sleep(0.005)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            for producer in self.producers:
                await producer.close()
            await self.consumer.stop()
            await consuming

    def assert_clean(self):
        verdict = self.checker.verdict()
        assert verdict.clean, verdict.examples
        assert verdict.consumed == verdict.sent == self.acknowledged


async def placed(traffic, shard, names):
    for name in names:
        await shard.control.open(name, 1)
        traffic.resolver.place(name, shard)


async def test_order_survives_moves_to_and_fro(tmp_path):
    """An order param that moves between two shards six times under live traffic keeps its order; others are not touched."""
    async with real_shards(tmp_path, 2) as shards:
        traffic = Traffic(shards, ["K", "L"])
        await placed(traffic, shards[0], ["K", "L"])
        async with traffic.running():
            for hop in range(6):
                await traffic.sent(60)
                await migrated(shards[hop % 2], shards[1 - hop % 2], "K", f"m{hop}", hop + 1, traffic.resolver)
            await traffic.sent(60)
        traffic.assert_clean()
        assert (await shards[0].control.state("K")).epoch == 7
        assert (await shards[0].control.state("L")).epoch == 1


async def test_moves_with_a_backlog_at_a_slow_shard(tmp_path):
    """A backlog that waits for the service rate moves with its order; both shards serve it within the same sequence."""
    async with real_shards(tmp_path, 2, service_rate_per_s=400.0) as shards:
        traffic = Traffic(shards, ["K"])
        await placed(traffic, shards[0], ["K"])
        filler = Producer(traffic.resolver, "filler")
        receipt = await filler.send("K", [b"x"] * 400)
        traffic.checker.appended("K", receipt.last_seq, 400, receipt.shard_id, receipt.epoch)
        traffic.acknowledged += 400
        async with traffic.running():
            await traffic.sent(30)
            await migrated(shards[0], shards[1], "K", "m", 1, traffic.resolver)
            await traffic.sent(30)
        await filler.close()
        traffic.assert_clean()


async def test_shard_dies_and_comes_back(tmp_path):
    """While a shard is killed and started again twice, nothing acknowledged is lost, doubled or out of order."""
    async with real_shards(tmp_path, 2) as shards:
        traffic = Traffic(shards, ["K", "L"])
        await placed(traffic, shards[0], ["K"])
        await placed(traffic, shards[1], ["L"])
        async with traffic.running():
            for _ in range(2):
                await traffic.sent(100)
                await shards[0].process.kill()
                await traffic.sent(20)  # L goes on
                await shards[0].back()
            await traffic.sent(100)
        traffic.assert_clean()


async def test_destination_dies_during_the_copy(tmp_path):
    """A migration whose destination is killed half-way is aborted on the source, and a second one succeeds."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        traffic = Traffic([source, destination], ["K"])
        await placed(traffic, source, ["K"])
        async with traffic.running():
            await traffic.sent(60)
            async for _ in destination.control.copy_backlog("K", "m1", 1, source.process.endpoint, 10):
                break
            await source.control.pause("K", "m1", 1, 5000)
            await destination.process.kill()
            await source.control.abort("K", "m1")
            await destination.back()
            await destination.control.abort("K", "m1")
            await traffic.sent(60)
            await migrated(source, destination, "K", "m2", 1, traffic.resolver)
            await traffic.sent(60)
        traffic.assert_clean()


async def test_redirects_need_no_resolver(tmp_path):
    """After a move the producer follows the tombstone's redirect without asking where the order param is."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        resolver = TableResolver([source, destination])
        await source.control.open("K", 1)
        resolver.place("K", source)
        producer = Producer(resolver, "p")
        await producer.send("K", [b"x"])
        await migrated(source, destination, "K", "m", 1)
        receipt = await producer.send("K", [b"y"])
        assert (receipt.last_seq, receipt.shard_id, receipt.epoch) == (2, "shard-1", 2)
        assert resolver.asked == 1
        await producer.close()


async def test_producer_keeps_the_order_of_its_calls(tmp_path):
    """Concurrent sends get their sequences in the order of the calls, each receipt naming its own last message."""
    async with real_shards(tmp_path) as [shard]:
        resolver = TableResolver([shard])
        await shard.control.open("K", 1)
        resolver.place("K", shard)
        producer = Producer(resolver, "p")
        receipts = await asyncio.gather(*(producer.send("K", [b"x"] * count) for count in (1, 5, 2, 700, 1)))
        assert [receipt.last_seq for receipt in receipts] == [1, 6, 8, 708, 709]
        await producer.close()


async def test_producer_waits_out_a_pause(tmp_path):
    """A send during a pause is confirmed after it, not refused."""
    async with real_shards(tmp_path) as [shard]:
        resolver = TableResolver([shard])
        await shard.control.open("K", 1)
        resolver.place("K", shard)
        await shard.control.pause("K", "m", 1, 200)
        producer = Producer(resolver, "p")
        assert (await producer.send("K", [b"x"])).last_seq == 1
        await producer.close()


async def test_send_says_when_it_does_not_know(tmp_path):
    """Without an answer in time a send says that the outcome is unknown and why; the message arrives once all the same."""
    async with real_shards(tmp_path) as [shard]:
        resolver = TableResolver([shard])
        await shard.control.open("K", 1)
        resolver.place("K", shard)
        producer = Producer(resolver, "p", timeout_s=0.3)
        await shard.process.kill()
        with pytest.raises(errors.OutcomeUnknownError, match="does not answer"):
            await producer.send("K", [b"x"])
        await shard.back()
        await producer.flush()
        assert (await shard.control.state("K")).last_seq == 1
        await producer.close()


async def test_refusals_do_not_spoil_the_numbering(tmp_path):
    """An unknown order param and an oversized payload are refused; what is sent afterwards is numbered from 1."""
    async with real_shards(tmp_path) as [shard]:
        resolver = TableResolver([shard])
        producer = Producer(resolver, "p")
        with pytest.raises(errors.UnknownOrderParamError):
            await producer.send("K", [b"x"])
        with pytest.raises(errors.BadInputError):
            await producer.send("K", [bytes(MAX_PAYLOAD_BYTES + 1)])
        await shard.control.open("K", 1)
        resolver.place("K", shard)
        assert (await producer.send("K", [b"x"])).last_seq == 1
        await producer.close()


async def test_a_second_run_of_a_producer_is_not_taken_for_the_first(tmp_path):
    """A producer that starts again under its old name stores new messages; the same run repeated stores none."""
    async with real_shards(tmp_path) as [shard]:
        resolver = TableResolver([shard])
        await shard.control.open("K", 1)
        resolver.place("K", shard)
        for run, last_seq in ((None, 1), (None, 2), ("x", 3), ("x", 3)):
            producer = Producer(resolver, "p", run=run)
            assert (await producer.send("K", [b"x"])).last_seq == last_seq
            await producer.close()


async def test_a_second_consumer_takes_over(tmp_path):
    """When a consumer stops, another one goes on where it was, without a gap and without a repetition."""
    async with real_shards(tmp_path) as [shard]:
        resolver = TableResolver([shard])
        await shard.control.open("K", 1)
        resolver.place("K", shard)
        producer = Producer(resolver, "p")
        seen = []

        async def consume_until(name, last_seq):
            consumer = Consumer(resolver.endpoints, resolver, lambda delivered: seen.append(delivered.seq), name)
            running = asyncio.create_task(consumer.run())
            async with asyncio.timeout(10):
                while not seen or seen[-1] < last_seq:  # noqa: ASYNC110 - bounded
                    await asyncio.sleep(0.005)
            await consumer.stop()
            await running

        await producer.send("K", [b"x"] * 20)
        await consume_until("one", 20)
        await producer.send("K", [b"x"] * 20)
        await consume_until("two", 40)
        assert seen == list(range(1, 41))
        await producer.close()
        await reachable(shard)


async def test_an_epoch_has_one_owner(tmp_path):
    """A mapping update that names another shard for the epoch of a tombstone is refused, and the redirect stays."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        await migrated(source, destination, "K", "m", 1)
        before = await source.control.state("K")
        with pytest.raises(errors.MigrationConflictError):
            await source.control.update_mapping("K", 2, replace(destination.described, shard_id="shard-9"))
        assert await source.control.state("K") == before
        assert await source.control.update_mapping("K", 2, destination.described) == before
