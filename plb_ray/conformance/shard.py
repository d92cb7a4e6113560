"""One shard's calls, over bare stubs: arguments by name, the answer as protobuf, a refusal as `Refusal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from plb_ray.conformance.status import Refusal
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardControlStub, ShardDataStub

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CALL_S = 10.0
STREAM_S = 30.0


class Stubs:
    """Calls methods by name; a stream's answer is the list of its messages."""

    def __init__(self, *stubs: Any) -> None:
        self._stubs = stubs

    async def one(self, method: str, request: Any) -> Any:
        """Make a call with one answer."""
        try:
            return await self._method(method)(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            raise Refusal.of(method, error) from None

    async def many(self, method: str, request: Any) -> list[Any]:
        """Make a call with a stream of answers, and follow it to its end."""
        try:
            return [message async for message in self._method(method)(request, timeout=STREAM_S)]
        except grpc.aio.AioRpcError as error:
            raise Refusal.of(method, error) from None

    def stream(self, method: str, request: Any) -> Any:
        """Return a running stream of answers; the caller cancels it."""
        return self._method(method)(request, timeout=STREAM_S)

    def _method(self, name: str) -> Any:
        return next(getattr(stub, name) for stub in self._stubs if hasattr(stub, name))


class ShardUnderTest:
    """A shard. `endpoint` is how the other shards and this kit reach it; `has_data`: it offers ShardData too."""

    def __init__(self, endpoint: str, channel: grpc.aio.Channel, shard_id: str, *, has_data: bool) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.shard_id = shard_id
        self.has_data = has_data
        self.calls = Stubs(ShardControlStub(channel), ShardDataStub(channel))

    # ShardControl

    async def capabilities(self) -> pb.Capabilities:
        return await self.calls.one("GetCapabilities", pb.GetCapabilitiesRequest())

    async def load(self) -> pb.ShardLoad:
        return await self.calls.one("GetLoad", pb.GetLoadRequest())

    async def state(self, name: str) -> pb.OrderParamState:
        return await self.calls.one("GetOrderParamState", pb.OrderParamRequest(order_param=name))

    async def states(self) -> list[pb.OrderParamState]:
        return await self.calls.many("ListOrderParamStates", pb.ListOrderParamStatesRequest())

    async def open(self, name: str, epoch: int = 1) -> pb.OrderParamState:
        return await self.calls.one("Open", pb.OpenRequest(order_param=name, epoch=epoch))

    async def begin(self, name: str, migration: str, epoch: int = 1) -> pb.OrderParamState:
        return await self.calls.one("Begin", pb.BeginRequest(order_param=name, migration_id=migration, epoch=epoch))

    async def pause(
        self, name: str, migration: str, epoch: int = 1, lease_ms: int = 10_000, *, soft: bool = False
    ) -> pb.OrderParamState:
        request = pb.PauseRequest(order_param=name, migration_id=migration, epoch=epoch, lease_ms=lease_ms, soft=soft)
        return await self.calls.one("Pause", request)

    async def copy(self, name: str, migration: str, source: ShardUnderTest, epoch: int = 1) -> list[pb.CopyProgress]:
        """Let this shard pull from the source."""
        request = pb.CopyBacklogRequest(
            order_param=name, migration_id=migration, epoch=epoch, source_endpoint=source.endpoint, chunk_messages=100
        )
        return await self.calls.many("CopyBacklog", request)

    async def seal(
        self,
        name: str,
        migration: str,
        destination: ShardUnderTest,
        epoch: int = 1,
        *,
        chained: bool = False,
        tail_after_seq: int | None = None,
    ) -> pb.SealRecord:
        request = pb.SealRequest(
            order_param=name,
            migration_id=migration,
            epoch=epoch,
            destination_shard=destination.shard_id,
            destination_endpoint=destination.endpoint,
            chained=chained,
            tail_after_seq=tail_after_seq,
        )
        return await self.calls.one("Seal", request)

    async def update_mapping(self, name: str, owner: ShardUnderTest, epoch: int) -> pb.OrderParamState:
        request = pb.UpdateMappingRequest(order_param=name, epoch=epoch, shard_id=owner.shard_id, endpoint=owner.endpoint)
        return await self.calls.one("UpdateMapping", request)

    async def resume(self, name: str, migration: str, sealed: pb.SealRecord) -> pb.OrderParamState:
        return await self.calls.one("Resume", pb.ResumeRequest(order_param=name, migration_id=migration, sealed=sealed))

    async def advance(self, name: str, epoch: int) -> pb.OrderParamState:
        return await self.calls.one("Advance", pb.AdvanceRequest(order_param=name, epoch=epoch))

    async def drain(self, name: str, migration: str) -> list[pb.DrainProgress]:
        request = pb.DrainRequest(order_param=name, migration_id=migration, chunk_messages=100)
        return await self.calls.many("Drain", request)

    async def abort(self, name: str, migration: str) -> pb.OrderParamState:
        return await self.calls.one("Abort", pb.AbortRequest(order_param=name, migration_id=migration))

    # ShardData

    async def append(
        self, name: str, first: int, payloads: Iterable[bytes], epoch: int = 1, producer: str = "p"
    ) -> pb.AppendResponse:
        return await self.calls.one("Append", append_request(name, first, payloads, epoch, producer))

    async def poll(
        self,
        names: Sequence[str],
        consumer: str = "c",
        most: int = 100,
        wait_ms: int = 0,
        *,
        redeliver: bool = False,
        hold_no: int = 0,
        max_in_flight: int = 0,
    ) -> pb.PollResponse:
        """Poll; a `hold_no` is sent for the first of `names`."""
        request = pb.PollRequest(
            consumer=consumer,
            order_params=names,
            max_messages=most,
            wait_ms=wait_ms,
            redeliver=redeliver,
            max_in_flight=max_in_flight,
        )
        if hold_no:
            request.holds.add(order_param=names[0], hold_no=hold_no)
        return await self.calls.one("Poll", request)

    async def ack(self, name: str, up_to_seq: int, epoch: int = 1, consumer: str = "c") -> int:
        request = pb.AckRequest(order_param=name, epoch=epoch, up_to_seq=up_to_seq, consumer=consumer)
        return (await self.calls.one("Ack", request)).acked_seq

    async def nack(self, name: str, seq: int, epoch: int = 1, consumer: str = "c", delay_ms: int = 0) -> int:
        request = pb.NackRequest(order_param=name, epoch=epoch, seq=seq, consumer=consumer, delay_ms=delay_ms)
        return (await self.calls.one("Nack", request)).acked_seq

    async def export(self, name: str, after_seq: int = 0) -> list[pb.MessageChunk]:
        return await self.calls.many("Export", pb.ExportRequest(order_param=name, after_seq=after_seq, chunk_messages=100))


def append_request(name: str, first: int, payloads: Iterable[bytes], epoch: int = 1, producer: str = "p") -> Any:
    """Return an append of one producer's messages, numbered from `first`."""
    return pb.AppendRequest(order_param=name, epoch=epoch, producer=producer, first_producer_seq=first, payloads=payloads)
