"""Group "soft-pause": appends go on until the seal, which brings the tail along. A shard may decline it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.conformance.flows import append, finished, opened, payloads, state_is, take_exactly
from plb_ray.conformance.outcome import Skip, require, same
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.status import refused, refused_somehow, retryable
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("soft-pause", TWO)
LEASE_MS = 150


@TABLE.check("means-it")
async def means_it(case: Case) -> None:
    """Asked for a soft pause, a shard says that it is soft and takes appends, or that it is not and refuses them."""
    name = case.name()
    await opened(case.a, name, 2)
    paused = await case.a.pause(name, case.migration(), soft=True)
    same("the state", pb.OwnershipState.Name(paused.state), "OWNERSHIP_STATE_PAUSED")
    if not paused.soft:
        await refused(case.a.append(name, 3, payloads(3, 1)), "an append while paused, not softly", "PAUSED")
        return
    same("last_seq", await append(case.a, name, 3, 2), 4)
    same("last_seq of the state", (await state_is(case.a, name, pb.OWNERSHIP_STATE_PAUSED, 1)).last_seq, 4)
    hard = await case.a.pause(name, case.migration())
    require(not hard.soft, "a repeat that asks for no soft pause is answered by one")
    await refused(case.a.append(name, 5, payloads(5, 1)), "an append after the pause is soft no more", "PAUSED")


@TABLE.check("lease-ends")
async def lease_ends(case: Case) -> None:
    """A seal after the lease of a soft pause is refused: another migration may have begun since."""
    name, migration = case.name(), case.migration()
    await _softly_paused(case, name, copied=2, appended=1, lease_ms=LEASE_MS)
    await asyncio.sleep(LEASE_MS / 1000 + 0.1)
    await refused(case.a.seal(name, migration, case.b, tail_after_seq=2), "a seal after the lease", "LEASE_EXPIRED")
    same("last_seq", await append(case.a, name, 4, 1), 4)


@TABLE.check("conflict")
async def conflict(case: Case) -> None:
    """A soft pause keeps the order param for its migration: others can neither pause nor seal it."""
    name = case.name()
    await _softly_paused(case, name, copied=2, appended=1)
    await refused(case.a.pause(name, case.migration(2)), "a pause by a second migration", "MIGRATION_CONFLICT")
    await refused(case.a.seal(name, case.migration(2), case.b), "a seal by a second migration", "MIGRATION_CONFLICT")


@TABLE.check("seal-ends-appends")
async def seal_ends_appends(case: Case) -> None:
    """The seal has all that was appended before it, and nothing is taken after it."""
    name, migration = case.name(), case.migration()
    await _softly_paused(case, name, copied=3, appended=2)
    sealed = await case.a.seal(name, migration, case.b)
    same("final_seq", sealed.final_seq, 5)
    same("producers", [(known.producer_seq, known.seq) for known in sealed.producers], [(5, 5)])
    same("the tail that nobody asked for", list(sealed.tail), [])
    await refused(case.a.append(name, 6, payloads(6, 1)), "an append after the seal", "MOVED")


@TABLE.check("tail")
async def tail(case: Case) -> None:
    """With what the seal brings along, or after another copy, the destination has everything, in order and deduplicated."""
    name, migration = case.name(), case.migration()
    await _softly_paused(case, name, copied=3, appended=2)
    sealed = await case.a.seal(name, migration, case.b, tail_after_seq=3)
    if not sealed.tail:
        await refused_somehow(case.b.resume(name, migration, sealed), "Resume of a copy without its tail", retryable)
        await case.b.copy(name, migration, case.a)
    await finished(case, name, case.a, case.b, sealed)
    got = await take_exactly(case.b, name, 1, 5)
    same("payloads", [message.payload for message in got], payloads(1, 5))
    require((await case.b.append(name, 5, payloads(5, 1), 2)).duplicate, "the last append, repeated, is not known")
    same("last_seq after one more", await append(case.b, name, 6, 1, epoch=2), 6)


@TABLE.check("tail-of-consumed")
async def tail_of_consumed(case: Case) -> None:
    """What was acknowledged before the seal need not be on the destination: the tail begins after it."""
    name, migration = case.name(), case.migration()
    await _softly_paused(case, name, copied=2, appended=3)
    await take_exactly(case.a, name, 1, 4)
    await case.a.ack(name, 4)
    sealed = await case.a.seal(name, migration, case.b, tail_after_seq=2)
    if not sealed.tail:
        await case.b.copy(name, migration, case.a)
    await finished(case, name, case.a, case.b, sealed)
    await take_exactly(case.b, name, 5, 5)


@TABLE.check("tail-with-a-gap")
async def tail_with_a_gap(case: Case) -> None:
    """A tail that does not continue what the destination has is no proof of anything: Resume waits for a copy."""
    name, migration = case.name(), case.migration()
    await _softly_paused(case, name, copied=1, appended=4)
    sealed = await case.a.seal(name, migration, case.b, tail_after_seq=3)
    await refused_somehow(case.b.resume(name, migration, sealed), "Resume with a gap before the tail", retryable)
    await state_is(case.b, name, pb.OWNERSHIP_STATE_IMPORTING, 2)
    await case.b.copy(name, migration, case.a)
    await finished(case, name, case.a, case.b, sealed)
    await take_exactly(case.b, name, 1, 5)


async def _softly_paused(case: Case, name: str, copied: int, appended: int, lease_ms: int = 10_000) -> None:
    """Copy the first messages to B, pause A softly, append some more. Raises Skip: A declines."""
    await opened(case.a, name, copied)
    await case.b.copy(name, case.migration(), case.a)
    if not (await case.a.pause(name, case.migration(), lease_ms=lease_ms, soft=True)).soft:
        raise Skip("the shard cannot pause softly; its pauses are longer for it")
    same("last_seq", await append(case.a, name, copied + 1, appended), copied + appended)
