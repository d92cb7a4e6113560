"""The gRPC service `ShardControl` on a `Shard`: each call is one operation in the writer, and idempotent."""
# ruff: noqa: N802, ARG002 - names and signatures are those of the generated servicer

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.errors import BadInputError
from plb_ray.migration.ports import CopyProgress
from plb_ray.queues.embedded import messages, operations, ownership
from plb_ray.queues.embedded.draining import DRAIN_MESSAGES, drain
from plb_ray.queues.embedded.holding import MAX_HOLD_NO
from plb_ray.rpc import convert
from plb_ray.rpc.errors import Peer, answers
from plb_ray.rpc.traced import traced
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardControlServicer, ShardDataStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plb_ray.queues.embedded.operations import Operation
    from plb_ray.queues.embedded.ownership import Record
    from plb_ray.queues.embedded.shard import Shard


class ControlService(ShardControlServicer):
    """See the comments in queue.proto; errors are raised as `PlbError`."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    async def GetCapabilities(self, request: Any, context: Any) -> pb.Capabilities:
        options = self._shard.options
        return convert.capabilities_to_pb(options.shard_id, options.capacity, options.service_rate_per_s)

    async def GetLoad(self, request: Any, context: Any) -> pb.ShardLoad:
        return convert.shard_load_to_pb(self._shard.load())

    async def GetOrderParamState(self, request: Any, context: Any) -> pb.OrderParamState:
        """Answer in turn with the changes: a seal that is being written is seen as made, or not at all."""
        return self._state(await self._shard.run(messages.name_of(request.order_param), operations.look))

    async def ListOrderParamStates(self, request: Any, context: Any) -> AsyncIterator[pb.OrderParamState]:
        for order_param in self._shard.view.names():
            yield self._state(self._shard.record(order_param))

    async def Open(self, request: Any, context: Any) -> pb.OrderParamState:
        return await self._change(request, lambda record, _: ownership.opened(record, request.epoch))

    async def Pause(self, request: Any, context: Any) -> pb.OrderParamState:
        name = messages.name_of(messages.bounded(request).order_param)
        pause = operations.Pause(request.migration_id, request.epoch, request.lease_ms, request.soft)
        return self._state(await self._shard.run(name, pause))

    async def Begin(self, request: Any, context: Any) -> pb.OrderParamState:
        name = messages.name_of(messages.bounded(request).order_param)
        begin = operations.BeginImport(request.migration_id, request.epoch)
        return self._state(await self._shard.run(name, begin))

    async def Advance(self, request: Any, context: Any) -> pb.OrderParamState:
        name = messages.name_of(messages.bounded(request).order_param)
        if request.epoch < 1 or request.hold_no > MAX_HOLD_NO:
            raise BadInputError(f"an advance of {name!r} needs an epoch, and a hold_no of {MAX_HOLD_NO} at most")
        await self._shard.advance(name, request.epoch, request.hold_no, request.holder)
        return self._state(await self._shard.run(name, operations.look))

    async def UpdateMapping(self, request: Any, context: Any) -> pb.OrderParamState:
        owner = (request.epoch, request.shard_id, request.endpoint)
        return await self._change(request, lambda record, _: ownership.redirected(record, *owner))

    async def Seal(self, request: Any, context: Any) -> pb.SealRecord:
        name = messages.name_of(messages.bounded(request).order_param)
        if not request.destination_shard or not request.destination_endpoint:
            raise BadInputError(f"the seal of {name!r} needs the destination's shard id and endpoint")
        moved_to = (request.destination_shard, request.destination_endpoint)
        ids = (request.migration_id, request.epoch)
        sealed = await self._shard.seal(name, *ids, moved_to, chained=request.chained)
        answered = convert.seal_to_pb(sealed)
        if request.HasField("tail_after_seq"):
            answered.tail.extend(block.data for block in await self._shard.tail(sealed, request.tail_after_seq))
        return answered

    async def Resume(self, request: Any, context: Any) -> pb.OrderParamState:
        name = messages.name_of(request.order_param)
        resume = operations.Resume(request.migration_id, *messages.seal_of(request))
        return self._state(await self._shard.run(name, resume))

    async def Abort(self, request: Any, context: Any) -> pb.OrderParamState:
        abort = operations.Abort(request.migration_id)
        return self._state(await self._shard.run(messages.name_of(request.order_param), abort))

    async def Drain(self, request: Any, context: Any) -> AsyncIterator[pb.DrainProgress]:
        name = messages.name_of(request.order_param)
        limit = messages.chunk_of(request.chunk_messages, DRAIN_MESSAGES)
        async for deleted in drain(self._shard.run, name, request.migration_id, limit):
            yield pb.DrainProgress(deleted=deleted)

    async def CopyBacklog(self, request: Any, context: Any) -> AsyncIterator[pb.CopyProgress]:
        """Pull what is missing from the source; a repeat goes on after what is there."""
        name = messages.name_of(messages.bounded(request).order_param)
        begin = operations.BeginImport(request.migration_id, request.epoch)
        record: Record = await self._shard.run(name, begin)
        progress = CopyProgress(record.last_seq, 0, 0)
        async for chunk in self._exported(request, record.last_seq):
            blocks = messages.blocks_of(messages.bounded(chunk))
            await self._shard.pace.spend(sum(block.payload_bytes for block in blocks))
            step = operations.ImportChunk(request.migration_id, request.epoch, blocks, progress.last_seq)
            last_seq, count, size = await self._shard.run(name, step)
            left = max(0, chunk.last_seq - max(last_seq, chunk.acked_seq))
            progress = CopyProgress(last_seq, progress.messages + count, progress.bytes + size, left)
            yield convert.progress_to_pb(progress)
        yield convert.progress_to_pb(progress)

    async def _exported(self, request: Any, after_seq: int) -> AsyncIterator[pb.MessageChunk]:
        source = request.source_endpoint
        call = pb.ExportRequest(
            order_param=request.order_param,
            after_seq=after_seq,
            chunk_messages=request.chunk_messages,
            migration_id=request.migration_id,
        )
        stub: Any = traced(ShardDataStub(self._shard.peers.channel(source)))
        async for chunk in answers(stub.Export(call), Peer("source", source), mutating=False):
            yield chunk

    async def _change(self, request: Any, step: Any) -> pb.OrderParamState:
        operation: Operation = operations.transition(step)
        return self._state(await self._shard.run(messages.name_of(messages.bounded(request).order_param), operation))

    def _state(self, record: Record) -> pb.OrderParamState:
        segments = self._shard.view.segments(record.order_param)
        return convert.state_to_pb(ownership.state_of(record, self._shard.now_s(), segments))
