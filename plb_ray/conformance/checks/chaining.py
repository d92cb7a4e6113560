"""Group "chain": migrations that leave the backlog where it is, and strict order over the segments they make."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from plb_ray.conformance.flows import (
    Got,
    append,
    chained,
    eventually,
    nothing_comes,
    opened,
    payloads,
    poll,
    state_is,
    take_exactly,
)
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.status import Refusal, refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case
    from plb_ray.conformance.shard import ShardUnderTest

TABLE = Table("chain", TWO)


@TABLE.check("moves")
async def moves(case: Case) -> None:
    """New messages go to the destination at once, the backlog stays as a segment of the old epoch."""
    name = case.name()
    await opened(case.a, name, 5)
    sealed = await chained(case, name, case.a, case.b)
    same("the seal's chained and behind", (sealed.chained, sealed.behind), (True, True))
    same("the seal's after_epoch", sealed.after_epoch, 1)
    require(sealed.after_endpoint, "the seal does not tell the endpoint of the segment before")
    same(
        "the seal's acked_seq, delivered_seq, final_seq",
        (sealed.acked_seq, sealed.delivered_seq, sealed.final_seq),
        (5,) * 3,
    )
    same("last_seq after one append there", await append(case.b, name, 6, 1, epoch=2), 6)
    there = await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    require(there.behind, "the destination does not say that it is behind")
    here = await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)
    segments = [(s.epoch, s.first_seq, s.last_seq, s.acked_seq, s.front) for s in here.segments]
    same("the source's segments (epoch, first, last, acked, front)", segments, [(1, 1, 5, 0, True)])


@TABLE.check("appends-fenced")
async def appends_fenced(case: Case) -> None:
    """The source takes no append any more, at no epoch."""
    name = case.name()
    await opened(case.a, name, 2)
    await chained(case, name, case.a, case.b)
    for epoch in (1, 2):
        refusal = await refused(case.a.append(name, 3, payloads(3, 1), epoch), "an append at the source", "MOVED")
        same("the redirect", (refusal.data["shard_id"], refusal.data["epoch"]), (case.b.shard_id, "2"))


@TABLE.check("dedupe-moves")
async def dedupe_moves(case: Case) -> None:
    """The dedupe table moves: a repeat of a message that stayed is a duplicate at the destination."""
    name = case.name()
    await opened(case.a, name, 3)
    await chained(case, name, case.a, case.b)
    again = await case.b.append(name, 1, payloads(1, 3), epoch=2)
    same("the repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (3, True))


@TABLE.check("order")
async def order(case: Case) -> None:
    """The destination delivers nothing before the source's segment is consumed, and then goes on by itself."""
    name = case.name()
    await _two_segments(case, name)
    await nothing_comes(case.b, name, "sequences 1 to 3 wait on the source and nobody holds the order param", "stranger")
    got = await take_exactly(case.a, name, 1, 3)
    require(all(message.followed for message in got), "the source's batch does not say that it is followed")
    same("epochs of the source's batch", {message.epoch for message in got}, {1})
    await case.a.ack(name, 3, epoch=1)
    await _front(case.b, name)
    got = await take_exactly(case.b, name, 4, 6)
    same("behind and followed", {(message.behind, message.followed) for message in got}, {(False, False)})
    same("acked_seq at the end", await case.b.ack(name, 6, epoch=2), 6)


@TABLE.check("read-ahead")
async def read_ahead(case: Case) -> None:
    """The holder may read ahead at the destination by naming its hold; batches then say behind."""
    name = case.name()
    await _two_segments(case, name)
    held = await take_exactly(case.a, name, 1, 3)
    got = await take_exactly(case.b, name, 4, 6, hold_no=held[0].hold_no)
    same("behind", {message.behind for message in got}, {True})
    same("hold_no", {message.hold_no for message in got}, {held[0].hold_no})
    await case.a.ack(name, 3, epoch=1)
    same("acked_seq of what was read ahead", await case.b.ack(name, 6, epoch=2), 6)


@TABLE.check("new-holder")
async def new_holder(case: Case) -> None:
    """A consumer that takes over the front takes over what the one before had read ahead."""
    name = case.name()
    await _two_segments(case, name)
    old = await take_exactly(case.a, name, 1, 3, "c1")
    await take_exactly(case.b, name, 4, 6, "c1", hold_no=old[0].hold_no)
    new = await take_exactly(case.a, name, 1, 3, "c2")
    require(new[0].hold_no > old[0].hold_no, f"hold_no went from {old[0].hold_no} to {new[0].hold_no}")
    await take_exactly(case.b, name, 4, 6, "c2", hold_no=new[0].hold_no)
    await refused(case.b.ack(name, 6, 2, "c1"), "an ack of what the holder before had read ahead", "NOT_THE_HOLDER")


@TABLE.check("in-flight")
async def in_flight(case: Case) -> None:
    """What was in flight before the migration is acknowledged at the source, by its epoch."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 2)
    await chained(case, name, case.a, case.b)
    same("acked_seq", await case.a.ack(name, 2, epoch=1), 2)
    await take_exactly(case.a, name, 3, 5)


@TABLE.check("nack")
async def nack(case: Case) -> None:
    """A negative acknowledgement in the source's segment holds up what follows it there."""
    name = case.name()
    await _two_segments(case, name)
    await take_exactly(case.a, name, 1, 3)
    same("acked_seq", await case.a.nack(name, 2, epoch=1), 1)
    await nothing_comes(case.b, name, "sequence 2 was not handled", "stranger")
    await take_exactly(case.a, name, 2, 3)


@TABLE.check("no-backlog")
async def no_backlog(case: Case) -> None:
    """Where nothing was left to consume no segment stays, and the destination is not behind."""
    name = case.name()
    await opened(case.a, name, 3)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 3)
    sealed = await chained(case, name, case.a, case.b)
    require(not sealed.behind, "the seal says behind, and nothing is before it")
    same("segments", list((await case.a.state(name)).segments), [])
    await append(case.b, name, 4, 1, epoch=2)
    got = await take_exactly(case.b, name, 4, 4)
    require(not got[0].behind, "the batch says behind, and nothing is before it")


@TABLE.check("seal-again")
async def seal_again(case: Case) -> None:
    """A repeated chained seal answers the same record."""
    name = case.name()
    await opened(case.a, name, 3)
    sealed = await chained(case, name, case.a, case.b)
    again = await case.a.seal(name, case.migration(), case.b, chained=True)
    same("the record of a repeat", again, sealed)


@TABLE.check("and-back")
async def and_back(case: Case) -> None:
    """S1 -> S2 -> S1: three segments on two shards are consumed in order."""
    name = case.name()
    await _two_segments(case, name)
    sealed = await chained(case, name, case.b, case.a, epoch=2, number=2)
    same("the second seal's epoch and behind", (sealed.epoch, sealed.behind), (3, True))
    same("last_seq", await append(case.a, name, 7, 3, epoch=3), 9)
    got = await _consumed(case, name, 9)
    same("sequences in the order of delivery", [message.seq for message in got], list(range(1, 10)))
    same("epochs", [message.epoch for message in got], [1] * 3 + [2] * 3 + [3] * 3)
    await _front(case.a, name)


@TABLE.check("heals")
async def heals(case: Case) -> None:
    """When nobody resumes the destination after a chained seal, the source itself does."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 2)
    await case.b.begin(name, migration)
    await case.a.pause(name, migration)
    await case.a.seal(name, migration, case.b, chained=True)

    async def serves() -> bool:
        return (await case.b.state(name)).state == pb.OWNERSHIP_STATE_ACTIVE

    await eventually(serves, "nobody confirmed the hand-over, and the destination was not resumed")
    same("last_seq there", await append(case.b, name, 3, 1, epoch=2), 3)


@TABLE.check("advance")
async def advance(case: Case) -> None:
    """Advance is idempotent, and one that tells of an older epoch changes nothing."""
    name = case.name()
    await case.a.open(name, 3)
    await append(case.a, name, 1, 3, epoch=3)
    await chained(case, name, case.a, case.b, epoch=3)
    await append(case.b, name, 4, 3, epoch=4)
    await case.b.advance(name, 2)
    require((await case.b.state(name)).behind, "it is not behind any more, and the segment before is not consumed")
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 3, epoch=3)
    await _front(case.b, name)
    await case.b.advance(name, 3)
    await take_exactly(case.b, name, 4, 6)


@TABLE.check("segment-ends")
async def segment_ends(case: Case) -> None:
    """A segment that is consumed is forgotten, the tombstone stays."""
    name = case.name()
    await _two_segments(case, name)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 3, epoch=1)

    async def forgotten() -> bool:
        return not (await case.a.state(name)).segments

    await eventually(forgotten, "the consumed segment is still listed")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)
    await refused(case.a.append(name, 7, payloads(7, 1)), "an append at the source", "MOVED")


async def _two_segments(case: Case, name: str) -> None:
    """Sequences 1 to 3 on the source under epoch 1, 4 to 6 on the destination under epoch 2."""
    await opened(case.a, name, 3)
    await chained(case, name, case.a, case.b)
    same("last_seq there", await append(case.b, name, 4, 3, epoch=2), 6)


async def _front(shard: ShardUnderTest, name: str) -> None:
    """Wait until a shard has been told that nothing is before its segment any more."""

    async def told() -> bool:
        return not (await shard.state(name)).behind

    await eventually(told, f"the segment before is consumed, and {shard.shard_id} was not told so")


async def _consumed(case: Case, name: str, last_seq: int) -> list[Got]:
    """Consume one message at a time from whichever shard gives the next one, acknowledging each at once."""
    got: list[Got] = []

    async def all_of_them() -> bool:
        for shard in (case.a, case.b):
            with contextlib.suppress(Refusal):  # a shard whose segments have all ended redirects
                for message in await poll(shard, name, most=1):
                    got.append(message)
                    await shard.ack(name, message.seq, message.epoch)
        return len(got) >= last_seq

    await eventually(all_of_them, f"not all of {last_seq} messages in three segments were delivered")
    return got
