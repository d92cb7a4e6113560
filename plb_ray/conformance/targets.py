"""Connecting to targets, and finding out which services each offers: by gRPC reflection, else by trying."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from plb_ray.conformance.queue import QueueUnderTest
from plb_ray.conformance.shard import ShardUnderTest
from plb_ray.conformance.status import Refusal
from plb_ray.errors import BadInputError, ShardUnavailableError
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub, ShardControlStub, ShardDataStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plb_ray.rpc.channel import TlsFiles

CONNECT_S = 5.0
LISTED_S = 1.0  # until a shard that a queue lists must have been reached
CONTROL, DATA, QUEUE = "plb.v1.ShardControl", "plb.v1.ShardData", "plb.v1.QueueControl"
_PROBES = {
    CONTROL: lambda channel: ShardControlStub(channel).GetCapabilities(pb.GetCapabilitiesRequest(), timeout=CONNECT_S),
    DATA: lambda channel: ShardDataStub(channel).AckMany(pb.AckManyRequest(), timeout=CONNECT_S),
    QUEUE: lambda channel: QueueControlStub(channel).ListShards(pb.ListShardsRequest(), timeout=CONNECT_S),
}


@dataclass(frozen=True)
class Targets:
    """What is under test: shards in the order in which they were named, and at most one queue."""

    shards: tuple[ShardUnderTest, ...]
    queue: QueueUnderTest | None

    def in_words(self) -> tuple[str, ...]:
        """Return each target with what it offers."""
        data = {True: "ShardControl, ShardData", False: "ShardControl"}
        shards = [f"{shard.endpoint}: shard {shard.shard_id} ({data[shard.has_data]})" for shard in self.shards]
        return (*shards, *([f"{self.queue.endpoint}: QueueControl"] if self.queue else []))


@contextlib.asynccontextmanager
async def connected(endpoints: Sequence[str], tls: TlsFiles | None = None) -> AsyncIterator[Targets]:
    """Connect to every target, with `tls` encrypted.

    Raises:
        ShardUnavailableError: nothing answers there.
        BadInputError: what answers there offers nothing of the contract, two targets are the same thing, or a file of
            `tls` cannot be read.
    """
    _require_distinct("targets", endpoints)
    async with contextlib.AsyncExitStack() as stack:
        shards: list[ShardUnderTest] = []
        queues: list[QueueUnderTest] = []
        for endpoint in endpoints:
            channel = open_channel(endpoint, tls)
            stack.push_async_callback(channel.close)
            offered = await services(endpoint, channel)
            if CONTROL in offered:
                shards.append(await _shard(endpoint, channel, has_data=DATA in offered))
            if QUEUE in offered:
                queues.append(await _queue(endpoint, channel, tls))
        _require_distinct("shard ids", [shard.shard_id for shard in shards])
        if len(queues) > 1:
            raise BadInputError(f"{queues[0].endpoint} and {queues[1].endpoint} are both QueueControl; name one of them")
        yield Targets(tuple(shards), queues[0] if queues else None)


async def services(endpoint: str, channel: grpc.aio.Channel, within_s: float = CONNECT_S) -> set[str]:
    """Return which of the contract's services a server offers.

    Raises:
        ShardUnavailableError: it does not answer.
        BadInputError: it offers none.
    """
    try:
        async with asyncio.timeout(within_s):
            await channel.channel_ready()
    except TimeoutError:
        raise ShardUnavailableError("target", endpoint, f"no connection within {within_s:g} s") from None
    offered = await _reflected(channel)
    if not offered:
        offered = {name for name, probe in _PROBES.items() if await _is_offered(probe(channel))}
    found = offered & set(_PROBES)
    if not found & {CONTROL, QUEUE}:
        has = ", ".join(sorted(offered)) or "nothing"
        raise BadInputError(f"{endpoint} offers neither {CONTROL} nor {QUEUE}; it offers {has}")
    return found


async def _reflected(channel: grpc.aio.Channel) -> set[str]:
    """Return the services that reflection lists; none if it is not offered."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    try:
        answers = [answer async for answer in stub.ServerReflectionInfo(iter((request,)), timeout=CONNECT_S)]
    except grpc.aio.AioRpcError:
        return set()
    return {service.name for answer in answers for service in answer.list_services_response.service}


async def _is_offered(call: Any) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNIMPLEMENTED
    return True


async def _shard(endpoint: str, channel: grpc.aio.Channel, *, has_data: bool) -> ShardUnderTest:
    shard = ShardUnderTest(endpoint, channel, "", has_data=has_data)
    try:
        shard.shard_id = (await shard.capabilities()).shard_id
    except Refusal as refusal:
        raise BadInputError(f"{endpoint} does not say what it is: {refusal}") from None
    return shard


async def _queue(endpoint: str, channel: grpc.aio.Channel, tls: TlsFiles | None) -> QueueUnderTest:
    queue = QueueUnderTest(endpoint, channel, {}, tls)
    try:
        listed = await queue.calls.one("ListShards", pb.ListShardsRequest())
    except Refusal as refusal:
        raise BadInputError(f"{endpoint} does not list its shards: {refusal}") from None
    queue.shards = {shard.shard_id: shard.endpoint for shard in listed.shards if not shard.draining}
    return queue


def _require_distinct(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInputError(f"two {what} are the same: {', '.join(twice)}")


@contextlib.asynccontextmanager
async def shards_of(queue: QueueUnderTest) -> AsyncIterator[dict[str, ShardUnderTest]]:
    """Connect to the shards that a queue lists, as its clients would; those that do not answer are left out."""
    async with contextlib.AsyncExitStack() as stack:
        channels = {shard_id: open_channel(endpoint, queue.tls) for shard_id, endpoint in queue.shards.items()}
        for channel in channels.values():
            stack.push_async_callback(channel.close)
        found = await asyncio.gather(*(_found(queue.shards[shard_id], channels[shard_id]) for shard_id in channels))
        yield {shard.shard_id: shard for shard in found if shard is not None}


async def _found(endpoint: str, channel: grpc.aio.Channel) -> ShardUnderTest | None:
    try:
        return await _shard(endpoint, channel, has_data=DATA in await services(endpoint, channel, LISTED_S))
    except (ShardUnavailableError, BadInputError):
        return None
