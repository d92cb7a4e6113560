"""What every measurement runs on: shard processes, a coordinator process, and calls to them from this one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

from plb_ray.client import QueueResolver
from plb_ray.domain.migration import MigrationMode, MigrationRequest
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub, ShardDataStub

PAYLOAD = bytes(200)
FILL_BATCH = 500
FILL_CALLS = 8


class Rig:
    """Made by `rig`. `shards`: shard id -> endpoint."""

    def __init__(self, shards: dict[str, str], endpoint: str) -> None:
        self.shards = shards
        self.queue = QueueClient(endpoint, timeout_s=60)
        self.resolver = QueueResolver(endpoint)
        self._channels = {endpoint: open_channel(endpoint) for endpoint in (endpoint, *shards.values())}
        self._control = QueueControlStub(self._channels[endpoint])
        self._data = {shard_id: ShardDataStub(self._channels[where]) for shard_id, where in shards.items()}
        self._numbers: dict[str, int] = {}
        self._migrations = 0

    async def allocate(self, order_param, *shards):
        return await self._control.AllocateShards(pb.AllocateShardsRequest(order_param=order_param, shards=shards))

    async def fill(self, order_param, messages, batch=FILL_BATCH, calls=FILL_CALLS):
        """Append so many messages by one producer, several calls under way at once, to wherever it lives."""
        located = await self.resolver.resolve(order_param)
        stub, first, end = self._data[located.shard_id], self._numbers.get(order_param, 0) + 1, 0
        self._numbers[order_param] = end = first + messages - 1
        for start in range(first, end + 1, batch * calls):
            appends = [
                pb.AppendRequest(
                    order_param=order_param,
                    epoch=located.epoch,
                    producer="fill",
                    first_producer_seq=number,
                    payloads=[PAYLOAD] * min(batch, end + 1 - number),
                )
                for number in range(start, min(end + 1, start + batch * calls), batch)
            ]
            # in one call, so that they cannot overtake each other
            answered = await stub.AppendMany(pb.AppendManyRequest(appends=appends), timeout=60)
            assert not any(outcome.error for outcome in answered.outcomes), "an append was refused"

    async def trim(self, order_param, keep):
        """Acknowledge all but the newest `keep` messages."""
        located = await self.resolver.resolve(order_param)
        stub = self._data[located.shard_id]
        load = await self.queue.load_metrics()
        found = [one for shard in load.shards for one in shard.order_params if one.order_param == order_param]
        up_to = max(0, *(one.messages_total - keep for one in found))
        await stub.Ack(pb.AckRequest(order_param=order_param, epoch=located.epoch, up_to_seq=up_to, consumer="trim"))

    async def migrate(self, order_param, source, destination, mode=MigrationMode.COPY):
        """Run a migration to its end and return all its records."""
        self._migrations += 1
        request = MigrationRequest(f"bench-{self._migrations}", order_param, source, destination, "benchmark", mode)
        records = [record async for record in self.queue.migrate(request)]
        assert records[-1].step == "done", records[-1]
        return records

    async def append(self, order_param, epoch, shard_id, producer, number, payloads):
        request = pb.AppendRequest(
            order_param=order_param, epoch=epoch, producer=producer, first_producer_seq=number, payloads=payloads
        )
        return await self._data[shard_id].Append(request, timeout=60)

    async def close(self):
        await self.queue.close()
        await self.resolver.close()
        for channel in self._channels.values():
            await channel.close()


@contextlib.asynccontextmanager
async def rig(shards=2, **options):
    """Start everything in a folder of its own, and stop everything whatever happens."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="plb-bench-")))
        processes = [ShardProcess(ShardOptions(f"s{n}", folder / f"s{n}", **options)) for n in range(shards)]
        for process in processes:
            stack.push_async_callback(process.terminate)
        await asyncio.gather(*(process.start() for process in processes))
        endpoints = {process.shard_id: process.endpoint for process in processes}
        endpoint = await _coordinator(stack, folder / "journal.db", endpoints)
        made = Rig(endpoints, endpoint)
        stack.push_async_callback(made.close)
        yield made


async def _coordinator(stack, journal, endpoints):
    words = [f"{shard_id}={endpoint}" for shard_id, endpoint in endpoints.items()]
    command = [sys.executable, "-m", "tests.queue_bench.coordinator_main", str(journal), *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    stack.push_async_callback(_ended, process)
    line = (await process.stdout.readline()).decode().split()
    assert line[:1] == ["ready"], "the coordinator did not start"
    return line[1]


async def _ended(process):
    process.stdin.close()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
