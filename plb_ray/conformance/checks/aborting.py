"""Groups "abort" and "drain": undoing before the commit point, deleting after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import append, copied_and_sealed, finished, moved, opened, payloads, state_is, take_exactly
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.status import Refusal, refused, refused_somehow
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("abort", TWO)
DRAIN = Table("drain", TWO)


@TABLE.check("source")
async def source(case: Case) -> None:
    """Before the seal Abort lets the source serve again, under the same epoch."""
    name = case.name()
    await opened(case.a, name, 2)
    await case.a.pause(name, case.migration())
    await case.a.abort(name, case.migration())
    await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 1)
    same("last_seq", await append(case.a, name, 3, 1), 3)
    await refused(case.a.seal(name, case.migration(), case.b), "a seal after the abort", "LEASE_EXPIRED")


@TABLE.check("destination")
async def destination(case: Case) -> None:
    """Before the seal Abort makes the destination forget the import."""
    name = case.name()
    await opened(case.a, name, 4)
    await case.b.copy(name, case.migration(), case.a)
    await case.b.abort(name, case.migration())
    await state_is(case.b, name, pb.OWNERSHIP_STATE_NONE)
    await refused(case.b.append(name, 1, payloads(1, 1)), "an append after the abort", "UNKNOWN_ORDER_PARAM")


@TABLE.check("chained-destination")
async def chained_destination(case: Case) -> None:
    """Abort undoes Begin too, and Begin is idempotent."""
    name = case.name()
    first, again = await case.b.begin(name, case.migration()), await case.b.begin(name, case.migration())
    same("the repeated answer", again, first)
    await state_is(case.b, name, pb.OWNERSHIP_STATE_IMPORTING, 2)
    await case.b.abort(name, case.migration())
    await state_is(case.b, name, pb.OWNERSHIP_STATE_NONE)


@TABLE.check("again")
async def again(case: Case) -> None:
    """Abort is idempotent, and nothing happens where the migration has no hold."""
    name = case.name()
    await opened(case.a, name, 2)
    await case.a.pause(name, case.migration(1))
    await case.a.abort(name, case.migration(2))
    await state_is(case.a, name, pb.OWNERSHIP_STATE_PAUSED, 1)
    for _ in range(2):
        await case.a.abort(name, case.migration(1))
        await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 1)
    await case.b.abort(name, case.migration(1))
    await state_is(case.b, name, pb.OWNERSHIP_STATE_NONE)


@TABLE.check("after-seal")
async def after_seal(case: Case) -> None:
    """After the seal Abort is refused by the source, and the migration can be finished."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 3)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    await refused_somehow(case.a.abort(name, migration), "Abort at the source after the seal", _failed_precondition)
    await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)
    await finished(case, name, case.a, case.b, sealed)
    await take_exactly(case.b, name, 1, 3)


@TABLE.check("after-resume")
async def after_resume(case: Case) -> None:
    """After Resume Abort is refused by the destination, which serves on."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 3)
    await moved(case, name, case.a, case.b)
    await refused_somehow(case.b.abort(name, migration), "Abort at the destination that serves", _failed_precondition)
    await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    await take_exactly(case.b, name, 1, 3)


@TABLE.check("and-anew")
async def and_anew(case: Case) -> None:
    """After an abort another migration moves everything."""
    name = case.name()
    await opened(case.a, name, 3)
    await case.b.copy(name, case.migration(1), case.a)
    await case.a.pause(name, case.migration(1))
    for shard in (case.a, case.b):
        await shard.abort(name, case.migration(1))
    await append(case.a, name, 4, 2)
    await moved(case, name, case.a, case.b, number=2)
    await take_exactly(case.b, name, 1, 5)


@TABLE.check("tombstone-stays")
async def tombstone_stays(case: Case) -> None:
    """Aborting an import of what was here before leaves the tombstone as it was."""
    name = case.name()
    await opened(case.a, name, 2)
    await moved(case, name, case.a, case.b)
    await case.a.copy(name, case.migration(2), case.b, epoch=2)
    await case.a.abort(name, case.migration(2))
    await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)
    refusal = await refused(case.a.append(name, 3, payloads(3, 1)), "an append after the abort", "MOVED")
    same("the redirect", refusal.data["shard_id"], case.b.shard_id)


@DRAIN.check("before-seal")
async def before_seal(case: Case) -> None:
    """Before the seal nothing is drained."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 3)
    await case.a.pause(name, migration)
    await refused(case.a.drain(name, migration), "a drain before the seal", "MIGRATION_CONFLICT")
    await case.a.abort(name, migration)
    await take_exactly(case.a, name, 1, 3)


@DRAIN.check("deletes")
async def deletes(case: Case) -> None:
    """Drain deletes the source's messages, reports how many, and a repeat finds nothing."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 250)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    await case.b.resume(name, migration, sealed)
    progress = [found.deleted for found in await case.a.drain(name, migration)]
    require(progress and progress == sorted(progress), f"its progress {progress} does not rise")
    require(progress[-1] > 0, "nothing was deleted of 250 messages")
    repeated = await case.a.drain(name, migration)
    same("deleted by the repeat", max((found.deleted for found in repeated), default=0), 0)
    await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)
    await take_exactly(case.b, name, 1, 250)


@DRAIN.check("by-another")
async def by_another(case: Case) -> None:
    """Drain of another migration's tombstone deletes nothing."""
    name = case.name()
    await opened(case.a, name, 3)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    progress = await case.a.drain(name, case.migration(2))
    same("deleted", max((found.deleted for found in progress), default=0), 0)
    await finished(case, name, case.a, case.b, sealed)


def _failed_precondition(refusal: Refusal) -> bool:
    return refusal.code.name == "FAILED_PRECONDITION" and bool(refusal.reason)
