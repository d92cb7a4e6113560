"""Consumers of order params whose segments lie on several real shards."""

import asyncio
import contextlib

import pytest

from plb_ray.client import Bounds, Consumer, Producer, Retry
from tests.shard.real_shards import TableResolver, real_shards

pytestmark = pytest.mark.shards


async def chained(source, destination, order_param, migration_id, epoch, resolver):
    """Let new messages go to the destination; the backlog stays."""
    await destination.control.begin(order_param, migration_id, epoch)
    await source.control.pause(order_param, migration_id, epoch, 5000)
    sealed = await source.control.seal(order_param, migration_id, epoch, destination.described, chained=True)
    await destination.control.resume(order_param, migration_id, sealed)
    await source.control.update_mapping(order_param, sealed.epoch, destination.described)
    resolver.place(order_param, destination, sealed.epoch)


async def filled_chain(shards, segments, size):
    """Make segments of `size` messages of K that go round the shards; return the resolver."""
    resolver = TableResolver(shards)
    await shards[0].control.open("K", 1)
    resolver.place("K", shards[0])
    producer = Producer(resolver, "p")
    for place in range(segments):
        if place:
            before, after = shards[(place - 1) % len(shards)], shards[place % len(shards)]
            await chained(before, after, "K", f"m{place}", place, resolver)
        receipt = await producer.send("K", [b"x" * 20] * size)
        assert (receipt.last_seq, receipt.epoch) == ((place + 1) * size, place + 1)
    await producer.close()
    return resolver


@contextlib.asynccontextmanager
async def consuming(resolver, handler, name, **options):
    consumer = Consumer(resolver.endpoints, resolver, handler, name, linger_s=0.001, **options)
    running = asyncio.create_task(consumer.run())
    try:
        async with asyncio.timeout(30):
            yield consumer
    finally:
        await consumer.stop()
        await running


async def until(condition):
    while not condition():  # noqa: ASYNC110 - bounded by the caller
        await asyncio.sleep(0.002)


async def test_a_chain_over_two_shards_is_consumed_in_sequence(tmp_path):
    """Five segments that go to and fro between two shards are handed over in one strict sequence, each message once."""
    async with real_shards(tmp_path, 2) as shards:
        resolver = await filled_chain(shards, 5, 300)
        seen = []
        async with consuming(resolver, lambda message: seen.append(message.seq), "c") as consumer:
            await until(lambda: len(seen) == 1500)
        assert seen == list(range(1, 1501))
        assert consumer.pool.jumps == 0


async def test_a_chain_is_consumed_in_sequence_with_little_room(tmp_path):
    """A consumer that may keep fewer messages than a segment has still gets through a chain, in sequence."""
    async with real_shards(tmp_path, 2) as shards:
        resolver = await filled_chain(shards, 4, 200)
        seen = []

        async def handle(message):
            await asyncio.sleep(0)
            seen.append(message.seq)

        async with consuming(resolver, handle, "c", bounds=Bounds(line_messages=30), max_messages=50):
            await until(lambda: len(seen) >= 800)
        assert seen == list(range(1, 801))


async def test_retry_in_a_chain_lets_nothing_overtake(tmp_path):
    """While a message is put off, neither its segment nor those read ahead from other shards go on."""
    async with real_shards(tmp_path, 2) as shards:
        resolver = await filled_chain(shards, 3, 50)
        seen, refusals = [], {20: 2, 50: 1, 120: 3}

        def handle(message):
            if refusals.get(message.seq):
                refusals[message.seq] -= 1
                raise Retry(0.02)
            seen.append(message.seq)

        async with consuming(resolver, handle, "c"):
            await until(lambda: len(seen) >= 150)
        assert seen == list(range(1, 151))
        assert not any(refusals.values())


async def test_another_consumer_takes_over_a_chain(tmp_path, monkeypatch):
    """When the holder falls silent, another consumer goes on where it was, over all shards of the chain."""
    monkeypatch.setattr("plb_ray.queues.dispatch.CLOSE_S", 0.0)
    async with real_shards(tmp_path, 2, consumer_lease_s=0.5) as shards:
        resolver = await filled_chain(shards, 3, 100)
        first, second = [], []
        stalled = asyncio.Event()

        async def handle(message):
            if message.seq == 150:
                stalled.set()
                await asyncio.Event().wait()
            first.append(message.seq)

        dying = Consumer(resolver.endpoints, resolver, handle, "one")
        running = asyncio.create_task(dying.run())
        async with asyncio.timeout(10):
            await stalled.wait()
        for _, task in dying._pollers.values():
            task.cancel()  # as if it were gone, without a word
        async with consuming(resolver, lambda message: second.append(message.seq), "two"):
            await until(lambda: second and second[-1] == 300)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert first == list(range(1, 150))
        assert second[0] <= 150
        assert second == list(range(second[0], 301))
