"""Group "seal": the commit point."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.conformance.flows import (
    append,
    copied_and_sealed,
    eventually,
    finished,
    opened,
    payloads,
    state_is,
    take_exactly,
)
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.status import each_refused, refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("seal", TWO)
LEASE_MS = 150


@TABLE.check("needs-a-pause")
async def needs_a_pause(case: Case) -> None:
    """A seal without a pause is refused, and the source serves on."""
    name = case.name()
    await opened(case.a, name, 1)
    await refused(case.a.seal(name, case.migration(), case.b), "a seal without a pause", "LEASE_EXPIRED")
    same("last_seq", await append(case.a, name, 2, 1), 2)


@TABLE.check("late")
async def late(case: Case) -> None:
    """A seal after the lease has ended is refused, and the source serves on under its epoch."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 1)
    await case.b.copy(name, migration, case.a)
    await case.a.pause(name, migration, lease_ms=LEASE_MS)
    await asyncio.sleep(LEASE_MS / 1000 + 0.1)
    await refused(case.a.seal(name, migration, case.b), "a seal after the lease has ended", "LEASE_EXPIRED")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 1)
    same("last_seq", await append(case.a, name, 2, 1), 2)


@TABLE.check("by-another")
async def by_another(case: Case) -> None:
    """A seal by another migration than the one that paused is refused."""
    name = case.name()
    await opened(case.a, name, 1)
    await case.a.pause(name, case.migration(1))
    await refused(case.a.seal(name, case.migration(2), case.b), "a seal by another migration", "MIGRATION_CONFLICT")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_PAUSED, 1)


@TABLE.check("record")
async def record(case: Case) -> None:
    """A seal's record has the next epoch, the last sequence, cursor, bytes and producers."""
    name = case.name()
    await opened(case.a, name, 4)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 2)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    same("order_param", sealed.order_param, name)
    same("migration_id", sealed.migration_id, case.migration())
    found = (sealed.epoch, sealed.final_seq, sealed.acked_seq, sealed.delivered_seq)
    same("epoch, final_seq, acked_seq and delivered_seq", found, (2, 4, 2, 3))
    same("bytes_total", sealed.bytes_total, sum(map(len, payloads(1, 4))))
    same("producers", [(known.producer, known.producer_seq, known.seq) for known in sealed.producers], [("p", 4, 4)])
    same("chained and behind", (sealed.chained, sealed.behind), (False, False))


@TABLE.check("again")
async def again(case: Case) -> None:
    """A repeated seal answers the same record, before and after everything that follows it."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 4)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    same("the record of a repeat", await case.a.seal(name, migration, case.b), sealed)
    await finished(case, name, case.a, case.b, sealed)
    same("the record of a repeat after the drain", await case.a.seal(name, migration, case.b), sealed)


@TABLE.check("redirects")
async def redirects(case: Case) -> None:
    """A sealed source refuses every data call and names the new owner, its endpoint and epoch."""
    name = case.name()
    await opened(case.a, name, 2)
    await copied_and_sealed(case, name, case.a, case.b)
    calls = {
        "an append": case.a.append(name, 3, payloads(3, 1)),
        "an append at the next epoch": case.a.append(name, 3, payloads(3, 1), epoch=2),
        "a poll": case.a.poll([name]),
        "an ack": case.a.ack(name, 1),
    }
    for refusal in await each_refused(calls, "at a sealed source", "MOVED"):
        found = tuple(refusal.data[field] for field in ("order_param", "shard_id", "endpoint", "epoch"))
        same("the redirect", found, (name, case.b.shard_id, case.b.endpoint, "2"))
    state = await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)
    same("moved_to", (state.moved_to_shard, state.moved_to_endpoint), (case.b.shard_id, case.b.endpoint))


@TABLE.check("pause-after")
async def pause_after(case: Case) -> None:
    """A sealed order param cannot be paused again where it was."""
    name = case.name()
    await opened(case.a, name, 1)
    await copied_and_sealed(case, name, case.a, case.b)
    await refused(case.a.pause(name, case.migration(2)), "a pause of a sealed order param", "MOVED")


@TABLE.check("heals")
async def heals(case: Case) -> None:
    """When nobody finishes a migration after its seal, the source itself resumes the destination."""
    name = case.name()
    await opened(case.a, name, 5)
    await copied_and_sealed(case, name, case.a, case.b)

    async def serves() -> bool:
        return (await case.b.state(name)).state == pb.OWNERSHIP_STATE_ACTIVE

    await eventually(serves, "nobody confirmed the hand-over, and the destination was not resumed")
    same("last_seq there", await append(case.b, name, 6, 1, epoch=2), 6)
    await take_exactly(case.b, name, 1, 6)


@TABLE.check("heals-tail")
async def heals_tail(case: Case) -> None:
    """It does so too when the destination still lacks messages: they are copied first."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 5)
    await case.b.copy(name, migration, case.a)
    await append(case.a, name, 6, 5)
    await case.a.pause(name, migration)
    await case.a.seal(name, migration, case.b)

    async def serves() -> bool:
        return (await case.b.state(name)).state == pb.OWNERSHIP_STATE_ACTIVE

    await eventually(serves, "nobody confirmed the hand-over, and the destination was not completed and resumed")
    got = await take_exactly(case.b, name, 1, 10)
    require(all(message.epoch == 2 for message in got), "not all were delivered under the new epoch")
