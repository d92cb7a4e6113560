"""Group "back": A -> B -> A, and calls that arrive long after their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import append, moved, opened, payloads, state_is, take_exactly
from plb_ray.conformance.outcome import same
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.status import Refusal, refused, refused_somehow
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("back", TWO)


@TABLE.check("there-and-back")
async def there_and_back(case: Case) -> None:
    """A -> B -> A keeps order, and each shard redirects to the other in turn."""
    name = case.name()
    await _there_and_back(case, name)
    refusal = await refused(case.b.append(name, 10, payloads(10, 1), 2), "an append at B", "MOVED")
    same("the redirect", (refusal.data["shard_id"], refusal.data["epoch"]), (case.a.shard_id, "3"))
    got = await take_exactly(case.a, name, 1, 9)
    same("payloads", [message.payload for message in got], payloads(1, 9))


@TABLE.check("dedupe")
async def dedupe(case: Case) -> None:
    """The dedupe table makes the round too."""
    name = case.name()
    await _there_and_back(case, name)
    again = await case.a.append(name, 7, payloads(7, 3), epoch=3)
    same("the repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (9, True))


@TABLE.check("late-drain")
async def late_drain(case: Case) -> None:
    """A late drain of the first migration deletes nothing of what has come back."""
    name = case.name()
    await _there_and_back(case, name)
    try:
        progress = await case.a.drain(name, case.migration(1))
    except Refusal as refusal:
        same("the code of the refusal", refusal.code.name, "ALREADY_EXISTS")
    else:
        same("deleted", max((found.deleted for found in progress), default=0), 0)
    await take_exactly(case.a, name, 1, 9)


@TABLE.check("late-seal")
async def late_seal(case: Case) -> None:
    """A late repeat of the first seal is refused by the owner."""
    name = case.name()
    await _there_and_back(case, name)
    await refused(case.a.seal(name, case.migration(1), case.b), "the first seal again", "STALE_EPOCH", "LEASE_EXPIRED")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 3)
    same("last_seq", await append(case.a, name, 10, 1, epoch=3), 10)


@TABLE.check("late-resume")
async def late_resume(case: Case) -> None:
    """A late repeat of the first Resume does not bring the old owner back."""
    name = case.name()
    sealed = await _there_and_back(case, name)
    await refused_somehow(case.b.resume(name, case.migration(1), sealed), "the first Resume again at B", _fenced)
    await state_is(case.b, name, pb.OWNERSHIP_STATE_SEALED, 3)


@TABLE.check("late-abort")
async def late_abort(case: Case) -> None:
    """A late abort of the first migration changes nothing."""
    name = case.name()
    await _there_and_back(case, name)
    for shard in (case.a, case.b):
        try:
            await shard.abort(name, case.migration(1))
        except Refusal as refusal:
            same("the code of the refusal", refusal.code.name, "FAILED_PRECONDITION")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 3)
    await state_is(case.b, name, pb.OWNERSHIP_STATE_SEALED, 3)
    await take_exactly(case.a, name, 1, 9)


@TABLE.check("late-copy")
async def late_copy(case: Case) -> None:
    """A late copy of the first migration is refused by the owner."""
    name = case.name()
    await _there_and_back(case, name)
    await refused_somehow(case.a.copy(name, case.migration(1), case.b), "a late copy onto the owner", _fenced)
    await refused_somehow(case.b.copy(name, case.migration(1), case.a), "a late copy onto the tombstone", _fenced)
    await take_exactly(case.a, name, 1, 9)


async def _there_and_back(case: Case, name: str) -> pb.SealRecord:
    """Three messages at each stop; return the first seal."""
    await opened(case.a, name, 3)
    sealed = await moved(case, name, case.a, case.b, epoch=1, number=1)
    await append(case.b, name, 4, 3, epoch=2)
    await moved(case, name, case.b, case.a, epoch=2, number=2)
    same("last_seq back at A", await append(case.a, name, 7, 3, epoch=3), 9)
    return sealed


def _fenced(refusal: Refusal) -> bool:
    return refusal.code.name in ("FAILED_PRECONDITION", "ALREADY_EXISTS") and bool(refusal.reason)
