"""One shard's `ShardControl` over gRPC: the adapter of `plb_ray.migration.ports.ShardPort`.

Every call is idempotent on the shard, so any of them may be repeated after a retryable error or an unknown outcome.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from plb_ray.domain.load import Shard
from plb_ray.errors import BadInputError, ShardUnavailableError
from plb_ray.rpc import convert
from plb_ray.rpc.channel import CALL_TIMEOUT_S, STALL_TIMEOUT_S, open_channel
from plb_ray.rpc.errors import Peer, answer, answers
from plb_ray.rpc.traced import traced
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardControlStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable

    from plb_ray.domain.load import ShardLoad
    from plb_ray.migration.ports import CopyProgress, OrderParamState, SealRecord

T = TypeVar("T")


class ShardClient:
    """See `ShardPort`.

    Args:
        shard_id: the shard that is expected to answer there.
        endpoint: `host:port`.
        timeout_s: of a unary call.
        stall_s: longest silence in a stream before the shard counts as unavailable.
    """

    def __init__(
        self, shard_id: str, endpoint: str, timeout_s: float = CALL_TIMEOUT_S, stall_s: float = STALL_TIMEOUT_S
    ) -> None:
        self.shard_id = shard_id
        self.endpoint = endpoint
        self._peer = Peer(shard_id, endpoint)
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._channel = open_channel(endpoint)
        self._stub: Any = traced(ShardControlStub(self._channel))

    async def close(self) -> None:
        """Close the connection; running calls are cancelled."""
        await self._channel.close()

    async def describe(self) -> Shard:
        """Return the shard's identity and capacity.

        Raises:
            BadInputError: another shard answers at this endpoint.
        """
        found = await self._read(self._stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=self._timeout_s))
        if found.shard_id != self.shard_id:
            raise BadInputError(
                f"{self.endpoint} is shard {found.shard_id!r}, not {self.shard_id!r}; correct the list of shards"
            )
        return Shard(self.shard_id, self.endpoint, convert.resources_from_pb(found.capacity))

    async def load(self) -> ShardLoad:
        call = self._stub.GetLoad(pb.GetLoadRequest(), timeout=self._timeout_s)
        return convert.shard_load_from_pb(await self._read(call))

    async def state(self, order_param: str) -> OrderParamState:
        request = pb.OrderParamRequest(order_param=order_param)
        call = self._stub.GetOrderParamState(request, timeout=self._timeout_s)
        return convert.state_from_pb(await self._read(call))

    async def states(self) -> AsyncIterator[OrderParamState]:
        call = self._stub.ListOrderParamStates(pb.ListOrderParamStatesRequest())
        async for message in self._stream(answers(call, self._peer, mutating=False)):
            yield convert.state_from_pb(message)

    async def open(self, order_param: str, epoch: int) -> OrderParamState:
        request = pb.OpenRequest(order_param=order_param, epoch=epoch)
        return convert.state_from_pb(await self._write(self._stub.Open(request, timeout=self._timeout_s)))

    async def begin(self, order_param: str, migration_id: str, epoch: int) -> OrderParamState:
        request = pb.BeginRequest(order_param=order_param, migration_id=migration_id, epoch=epoch)
        return convert.state_from_pb(await self._write(self._stub.Begin(request, timeout=self._timeout_s)))

    async def pause(
        self, order_param: str, migration_id: str, epoch: int, lease_ms: int, *, soft: bool = False
    ) -> OrderParamState:
        ids = {"order_param": order_param, "migration_id": migration_id, "epoch": epoch}
        request = pb.PauseRequest(**ids, lease_ms=lease_ms, soft=soft)
        return convert.state_from_pb(await self._write(self._stub.Pause(request, timeout=self._timeout_s)))

    async def copy_backlog(
        self, order_param: str, migration_id: str, epoch: int, source_endpoint: str, chunk_messages: int
    ) -> AsyncIterator[CopyProgress]:
        request = pb.CopyBacklogRequest(
            order_param=order_param,
            migration_id=migration_id,
            epoch=epoch,
            source_endpoint=source_endpoint,
            chunk_messages=chunk_messages,
        )
        async for message in self._stream(answers(self._stub.CopyBacklog(request), self._peer, mutating=True)):
            yield convert.progress_from_pb(message)

    async def seal(
        self,
        order_param: str,
        migration_id: str,
        epoch: int,
        destination: Shard,
        *,
        chained: bool = False,
        tail_after_seq: int | None = None,
    ) -> SealRecord:
        request = pb.SealRequest(
            order_param=order_param,
            migration_id=migration_id,
            epoch=epoch,
            destination_shard=destination.shard_id,
            destination_endpoint=destination.endpoint,
            chained=chained,
            tail_after_seq=tail_after_seq,
        )
        return convert.seal_from_pb(await self._write(self._stub.Seal(request, timeout=self._timeout_s)))

    async def update_mapping(self, order_param: str, epoch: int, owner: Shard) -> OrderParamState:
        request = pb.UpdateMappingRequest(
            order_param=order_param, epoch=epoch, shard_id=owner.shard_id, endpoint=owner.endpoint
        )
        return convert.state_from_pb(await self._write(self._stub.UpdateMapping(request, timeout=self._timeout_s)))

    async def resume(self, order_param: str, migration_id: str, sealed: SealRecord) -> OrderParamState:
        request = pb.ResumeRequest(order_param=order_param, migration_id=migration_id, sealed=convert.seal_to_pb(sealed))
        return convert.state_from_pb(await self._write(self._stub.Resume(request, timeout=self._timeout_s)))

    async def drain(self, order_param: str, migration_id: str, chunk_messages: int) -> AsyncIterator[int]:
        """Yield how many messages this call has deleted so far."""
        request = pb.DrainRequest(order_param=order_param, migration_id=migration_id, chunk_messages=chunk_messages)
        async for message in self._stream(answers(self._stub.Drain(request), self._peer, mutating=True)):
            yield message.deleted

    async def advance(self, order_param: str, epoch: int, hold_no: int = 0, holder: str = "") -> OrderParamState:
        """Tell that all segments up to `epoch` are consumed, their highest hold number and whose it is; between shards."""
        request = pb.AdvanceRequest(order_param=order_param, epoch=epoch, hold_no=hold_no, holder=holder)
        return convert.state_from_pb(await self._write(self._stub.Advance(request, timeout=self._timeout_s)))

    async def abort(self, order_param: str, migration_id: str) -> OrderParamState:
        request = pb.AbortRequest(order_param=order_param, migration_id=migration_id)
        return convert.state_from_pb(await self._write(self._stub.Abort(request, timeout=self._timeout_s)))

    async def _read(self, call: Awaitable[T]) -> T:
        return await answer(call, self._peer, mutating=False)

    async def _write(self, call: Awaitable[T]) -> T:
        return await answer(call, self._peer, mutating=True)

    async def _stream(self, messages: AsyncIterable[T]) -> AsyncIterator[T]:
        """Pass messages on; a silence longer than `stall_s` ends the stream with an error."""
        source = aiter(messages)
        try:
            while True:
                async with asyncio.timeout(self._stall_s):
                    message = await anext(source)
                yield message
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ShardUnavailableError(self.shard_id, self.endpoint, f"silent for {self._stall_s:g} s") from error
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # `answers` is an async generator
