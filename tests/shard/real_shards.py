"""Real shard processes and raw calls to them, for tests."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from plb_ray.client import Located
from plb_ray.domain.load import ResourceVector, Shard
from plb_ray.domain.mapping import Placement
from plb_ray.errors import ShardUnavailableError, UnknownOrderParamError
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.errors import Peer, answer
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardDataStub


@dataclass
class RealShard:
    """A process, its control client, and its data plane."""

    process: ShardProcess
    control: ShardClient
    channel: object = field(repr=False)

    @property
    def peer(self):
        return Peer(self.process.shard_id, self.process.endpoint)

    @property
    def described(self):
        return Shard(self.process.shard_id, self.process.endpoint, ResourceVector())

    async def call(self, method, request, timeout=5.0):  # noqa: ASYNC109 - gRPC's deadline
        return await answer(getattr(ShardDataStub(self.channel), method)(request, timeout=timeout), self.peer, mutating=True)

    async def back(self):
        """Start the killed process again, and wait until this test's connections have noticed."""
        await self.process.start()
        await reachable(self)

    async def append(self, order_param, first, payloads, epoch=1, producer="p"):
        request = pb.AppendRequest(
            order_param=order_param, epoch=epoch, producer=producer, first_producer_seq=first, payloads=payloads
        )
        return await self.call("Append", request)

    async def poll(self, consumer="c", most=1000, wait_ms=0, **others):
        request = pb.PollRequest(consumer=consumer, max_messages=most, wait_ms=wait_ms, **others)
        found = await self.call("Poll", request)
        return {batch.order_param: [message.seq for message in batch.messages] for batch in found.batches}

    async def ack(self, order_param, seq, epoch=1, consumer="c"):
        request = pb.AckRequest(order_param=order_param, epoch=epoch, up_to_seq=seq, consumer=consumer)
        return await self.call("Ack", request)


@contextlib.asynccontextmanager
async def real_shards(directory, count=1, **options):
    """Start shards, and stop and reap them whatever happens."""
    processes = [ShardProcess(ShardOptions(f"shard-{n}", directory / f"shard-{n}", **options)) for n in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        for process in processes:
            stack.push_async_callback(process.terminate)
        await asyncio.gather(*(process.start() for process in processes))
        shards = []
        for process in processes:
            control, channel = ShardClient(process.shard_id, process.endpoint), open_channel(process.endpoint)
            stack.push_async_callback(control.close)
            stack.push_async_callback(channel.close)
            shards.append(RealShard(process, control, channel))
        yield shards


async def reachable(shard):
    """Return when a call gets through: connections to a restarted shard come back within a fraction of a second."""
    async with asyncio.timeout(10):
        while True:
            try:
                await shard.control.describe()
            except ShardUnavailableError:
                await asyncio.sleep(0.02)
            else:
                return


async def copied(destination, source, order_param, migration_id, epoch, chunk=300):
    """Copy a backlog and return the last progress."""
    progress = None
    async for progress in destination.control.copy_backlog(  # noqa: B007 - the last one is returned
        order_param, migration_id, epoch, source.process.endpoint, chunk
    ):
        pass
    return progress


async def migrated(source, destination, order_param, migration_id, epoch, resolver=None):
    """Carry out the five steps by hand."""
    await copied(destination, source, order_param, migration_id, epoch)
    await source.control.pause(order_param, migration_id, epoch, 5000)
    await copied(destination, source, order_param, migration_id, epoch)
    sealed = await source.control.seal(order_param, migration_id, epoch, destination.described)
    await source.control.update_mapping(order_param, sealed.epoch, destination.described)
    if resolver is not None:
        resolver.place(order_param, destination, sealed.epoch)
    await destination.control.resume(order_param, migration_id, sealed)
    async for _ in source.control.drain(order_param, migration_id, 300):
        pass
    return sealed


class TableResolver:
    """A `Resolver` and `ShardEndpoints` over a table that the test keeps."""

    def __init__(self, shards):
        self.shards = list(shards)
        self.located = {}
        self.asked = 0

    def place(self, order_param, shard, epoch=1):
        placement = Placement(order_param, (shard.process.shard_id,), epoch)
        self.located[order_param] = Located(placement, (shard.process.endpoint,))

    async def resolve(self, order_param, *, create=False):  # noqa: ARG002 - the table is all there is
        self.asked += 1
        if order_param not in self.located:
            raise UnknownOrderParamError(order_param)
        return self.located[order_param]

    async def endpoints(self):
        return {shard.process.shard_id: shard.process.endpoint for shard in self.shards}
