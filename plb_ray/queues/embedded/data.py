"""The gRPC service `ShardData` on a `Shard`."""
# ruff: noqa: N802, ARG002 - names and signatures are those of the generated servicer

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from plb_ray.errors import PausedError, PlbError, UnknownOrderParamError
from plb_ray.migration.ports import CopyProgress, Ownership
from plb_ray.queues.embedded import messages, operations
from plb_ray.queues.embedded.holding import Nack
from plb_ray.queues.embedded.ownership import RETRY_MS
from plb_ray.queues.embedded.slices import Limits
from plb_ray.rpc import convert
from plb_ray.rpc.channel import BATCH_BYTES
from plb_ray.rpc.errors import status_of
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardDataServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from plb_ray.queues.embedded.shard import Shard

POLL_MESSAGES = 100
POLL_MESSAGES_MOST = 1000
POLL_WAIT_MS_MOST = 60_000
EXPORT_CHUNK = 500
STREAM_IN_FLIGHT = 100  # appends of one AppendStream that are not answered yet
log = logging.getLogger(__name__)


class DataService(ShardDataServicer):
    """See the comments in queue.proto; errors are raised as `PlbError`."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    async def Append(self, request: Any, context: Any) -> pb.AppendResponse:
        return await self._append(request)

    async def AppendMany(self, request: Any, context: Any) -> pb.AppendManyResponse:
        results = await _settled([self._append(one) for one in request.appends])
        return pb.AppendManyResponse(outcomes=[pb.AppendOutcome(**outcome) for outcome in results])

    async def AppendStream(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.AppendResponse]:
        """Answer in order; the first refused append ends the stream with its error."""
        running: asyncio.Queue[asyncio.Task[pb.AppendResponse] | None] = asyncio.Queue(STREAM_IN_FLIGHT)
        pump = asyncio.create_task(self._pump(request_iterator, running))
        try:
            while (task := await running.get()) is not None:
                yield await task
            await pump
        finally:
            pump.cancel()
            while not running.empty():
                if (left := running.get_nowait()) is not None:
                    left.add_done_callback(_forget)

    async def Poll(self, request: Any, context: Any) -> pb.PollResponse:
        consumer = messages.consumer_of(request.consumer)
        names = tuple(map(messages.name_of, request.order_params))
        holds = messages.holds_of(request)
        if request.redeliver:
            self._shard.delivery.redeliver(consumer)
        most = min(request.max_messages or POLL_MESSAGES, POLL_MESSAGES_MOST)
        limits = Limits(most, BATCH_BYTES, request.max_in_flight)
        wait_s = min(request.wait_ms, POLL_WAIT_MS_MOST) / 1000
        found = await self._shard.poll(consumer, names, limits, wait_s, holds)
        lease_ms = round(self._shard.options.consumer_lease_s * 1000)
        return pb.PollResponse(batches=[messages.batch_to_pb(part, batch) for part, batch in found], lease_ms=lease_ms)

    async def Ack(self, request: Any, context: Any) -> pb.AckResponse:
        return await self._ack(request)

    async def AckMany(self, request: Any, context: Any) -> pb.AckManyResponse:
        results = await _settled([self._ack(one) for one in request.acks])
        return pb.AckManyResponse(outcomes=[pb.AckOutcome(**outcome) for outcome in results])

    async def Nack(self, request: Any, context: Any) -> pb.AckResponse:
        name, consumer = messages.name_of(messages.bounded(request).order_param), messages.acker_of(request)
        self._shard.delivery.require_holder(consumer, name, request.epoch, self._shard.now_s())
        acked_seq = await self._shard.run(name, Nack(request.epoch, request.seq), request.epoch)
        self._shard.postpone(name, request.epoch, request.delay_ms / 1000)
        return pb.AckResponse(acked_seq=acked_seq)

    async def Export(self, request: Any, context: Any) -> AsyncIterator[pb.MessageChunk]:
        """Stream the messages that are stored and not acknowledged at the time of the call."""
        record = self._shard.record(messages.name_of(request.order_param))
        if record.ownership is Ownership.NONE:
            raise UnknownOrderParamError(record.order_param)
        if record.ownership is Ownership.IMPORTING:
            raise PausedError(record.order_param, RETRY_MS)
        first_seq = max(request.after_seq, record.acked_seq) + 1
        limit = messages.chunk_of(request.chunk_messages, EXPORT_CHUNK)
        bounds = (record.last_seq, record.acked_seq)
        yield messages.chunk_to_pb((), *bounds)
        async for chunk in self._shard.export(record.order_param, first_seq, record.last_seq, limit):
            yield messages.chunk_to_pb(chunk, *bounds)

    async def Import(self, request_iterator: Any, context: Any) -> pb.CopyProgress:
        last_seq = count = size = 0
        known: dict[tuple[str, str, int], int] = {}  # the last sequence that is here
        async for chunk in request_iterator:
            name, ids = messages.name_of(messages.bounded(chunk).order_param), (chunk.migration_id, chunk.epoch)
            blocks = messages.blocks_of(chunk)
            if (name, *ids) not in known:
                known[name, *ids] = (await self._shard.run(name, operations.BeginImport(*ids))).last_seq
            await self._shard.pace.spend(sum(block.payload_bytes for block in blocks))
            step = operations.ImportChunk(*ids, blocks, known[name, *ids])
            last_seq, new, new_bytes = await self._shard.run(name, step)
            known[name, *ids] = last_seq
            count, size = count + new, size + new_bytes
        return convert.progress_to_pb(CopyProgress(last_seq, count, size))

    async def _append(self, request: Any) -> pb.AppendResponse:
        last_seq, duplicate = await self._shard.append(request.order_param, messages.append_of(request))
        return pb.AppendResponse(last_seq=last_seq, duplicate=duplicate)

    async def _ack(self, request: Any) -> pb.AckResponse:
        name = messages.name_of(request.order_param)
        self._shard.delivery.require_holder(messages.acker_of(request), name, request.epoch, self._shard.now_s())
        acked_seq = await self._shard.run(name, operations.Ack(request.epoch, request.up_to_seq), request.epoch)
        return pb.AckResponse(acked_seq=acked_seq)

    async def _pump(self, requests: Any, running: asyncio.Queue[Any]) -> None:
        try:
            async for request in requests:
                await running.put(asyncio.create_task(self._append(request)))
        finally:
            await running.put(None)


async def _settled(calls: Sequence[Awaitable[Any]]) -> list[dict[str, Any]]:
    """Await all, each with its own outcome: {"ok": answer} or {"error": serialised google.rpc.Status}."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [_outcome(result) for result in results]


def _outcome(result: Any) -> dict[str, Any]:
    if not isinstance(result, BaseException):
        return {"ok": result}
    if not isinstance(result, PlbError):
        log.error("one of many failed", exc_info=result)
        result = PlbError(f"{type(result).__name__}; the server's log has the details")
    return {"error": status_of(result).SerializeToString()}


def _forget(task: asyncio.Task[Any]) -> None:
    """Look at a task's outcome that nobody waits for any more, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
