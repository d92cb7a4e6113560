"""The sequences of calls that many checks share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plb_ray.clock import monotonic_s
from plb_ray.conformance.outcome import Failure, require, same
from plb_ray.conformance.status import Refusal
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.conformance.case import Case
    from plb_ray.conformance.shard import ShardUnderTest

ARRIVE_S = 5.0  # until a message that may be delivered is
QUIET_MS = 150  # how long nothing must come where nothing may
SETTLE_S = 10.0  # until shards have settled something among themselves
LOOK_S = 0.02


@dataclass(frozen=True)
class Got:
    """A message as it was delivered, and by what."""

    seq: int
    producer: str
    producer_seq: int
    payload: bytes
    epoch: int
    hold_no: int
    behind: bool
    followed: bool


def payloads(first: int, count: int, producer: str = "p") -> list[bytes]:
    """Return what a producer's messages from number `first` on hold."""
    return [f"{producer} {number}".encode() for number in range(first, first + count)]


async def append(shard: ShardUnderTest, name: str, first: int, count: int, epoch: int = 1, producer: str = "p") -> int:
    """Append numbered messages and return the last sequence."""
    return (await shard.append(name, first, payloads(first, count, producer), epoch, producer)).last_seq


async def opened(shard: ShardUnderTest, name: str, count: int = 0) -> None:
    """Open an order param and append so many messages of producer "p"."""
    await shard.open(name)
    if count:
        same("the last sequence", await append(shard, name, 1, count), count)


async def poll(shard: ShardUnderTest, name: str, consumer: str = "c", **more: Any) -> list[Got]:
    """Poll one order param once."""
    return unpacked(await shard.poll([name], consumer, **more))


def unpacked(response: pb.PollResponse) -> list[Got]:
    """Return a poll's messages in the order in which they came."""
    return [
        Got(
            message.seq,
            message.producer,
            message.producer_seq,
            message.payload,
            batch.epoch,
            batch.hold_no,
            batch.behind,
            batch.followed,
        )
        for batch in response.batches
        for message in batch.messages
    ]


async def take(shard: ShardUnderTest, name: str, count: int, consumer: str = "c", **more: Any) -> list[Got]:
    """Poll until `count` messages have come; a shard may hand out fewer at a time.

    Raises:
        Failure: they do not come.
    """
    got: list[Got] = []
    until_s = monotonic_s() + ARRIVE_S
    while len(got) < count:
        got += await poll(shard, name, consumer, most=count - len(got), wait_ms=500, **more)
        more.pop("redeliver", None)
        if monotonic_s() > until_s and len(got) < count:
            raise Failure(f"{consumer} was delivered {_seqs(got)} within {ARRIVE_S:g} s; {count} messages wait for it")
    return got


async def take_exactly(
    shard: ShardUnderTest, name: str, first: int, last: int, consumer: str = "c", **more: Any
) -> list[Got]:
    """Poll and expect these sequences in order."""
    got = await take(shard, name, last - first + 1, consumer, **more)
    same("the sequences delivered", [message.seq for message in got], list(range(first, last + 1)))
    return got


async def nothing_comes(shard: ShardUnderTest, name: str, why: str, consumer: str = "c", **more: Any) -> None:
    """Expect that a poll waits in vain."""
    got = await poll(shard, name, consumer, wait_ms=QUIET_MS, **more)
    require(not got, f"{consumer} was delivered {_seqs(got)}; {why}")


async def state_is(shard: ShardUnderTest, name: str, wanted: int, epoch: int | None = None) -> pb.OrderParamState:
    """Expect a state, and an epoch; return all of it."""
    state = await shard.state(name)
    show = pb.OwnershipState.Name
    same(f"the state on {shard.shard_id}", show(state.state), show(wanted))
    if epoch is not None:
        same(f"the epoch on {shard.shard_id}", state.epoch, epoch)
    return state


async def eventually(holds: Callable[[], Awaitable[object]], words: str, within_s: float | None = None) -> None:
    """Expect something to become true (within `SETTLE_S` if nothing else is said); a refusal counts as not yet."""
    within_s = within_s or SETTLE_S
    until_s, last = monotonic_s() + within_s, ""
    while True:
        try:
            if await holds():
                return
        except Refusal as refusal:
            last = f"; {refusal}"
        if monotonic_s() > until_s:
            raise Failure(f"{words}, not even after {within_s:g} s{last}")
        await asyncio.sleep(LOOK_S)


async def copied_and_sealed(
    case: Case, name: str, source: ShardUnderTest, destination: ShardUnderTest, epoch: int = 1, number: int = 1
) -> pb.SealRecord:
    """Carry a migration by copy to its commit point."""
    migration = case.migration(number)
    await destination.copy(name, migration, source, epoch)
    await source.pause(name, migration, epoch)
    await destination.copy(name, migration, source, epoch)
    return await source.seal(name, migration, destination, epoch)


async def moved(
    case: Case, name: str, source: ShardUnderTest, destination: ShardUnderTest, epoch: int = 1, number: int = 1
) -> pb.SealRecord:
    """Carry out all five steps by copy."""
    sealed = await copied_and_sealed(case, name, source, destination, epoch, number)
    await finished(case, name, source, destination, sealed, number)
    return sealed


async def chained(
    case: Case, name: str, source: ShardUnderTest, destination: ShardUnderTest, epoch: int = 1, number: int = 1
) -> pb.SealRecord:
    """Carry out a chained migration: nothing is copied, nothing is drained."""
    migration = case.migration(number)
    await destination.begin(name, migration, epoch)
    await source.pause(name, migration, epoch)
    sealed = await source.seal(name, migration, destination, epoch, chained=True)
    await destination.resume(name, migration, sealed)
    await source.update_mapping(name, destination, sealed.epoch)
    return sealed


async def finished(
    case: Case, name: str, source: ShardUnderTest, destination: ShardUnderTest, sealed: pb.SealRecord, number: int = 1
) -> None:
    """Carry out what follows the commit point of a migration by copy."""
    await source.update_mapping(name, destination, sealed.epoch)
    await destination.resume(name, case.migration(number), sealed)
    await source.drain(name, case.migration(number))


def _seqs(got: list[Got]) -> str:
    return f"sequences {[message.seq for message in got]}" if got else "nothing"
