"""Group "fence": old epochs are useless, and a tombstone remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import append, moved, opened, payloads, state_is, take_exactly
from plb_ray.conformance.outcome import same
from plb_ray.conformance.registry import ONE, TWO, Table
from plb_ray.conformance.status import each_refused, refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("fence", TWO)


@TABLE.check("epoch", ONE)
async def epoch(case: Case) -> None:
    """An append or ack at another epoch than the owner's is refused, and stores nothing."""
    name = case.name()
    await case.a.open(name, 3)
    await append(case.a, name, 1, 2, epoch=3)
    for given in (0, 2, 4):
        calls = {"an append": case.a.append(name, 3, payloads(3, 1), given), "an ack": case.a.ack(name, 1, given)}
        for refusal in await each_refused(calls, f"at epoch {given} of 3", "STALE_EPOCH"):
            same("ErrorInfo's given and current", (refusal.data["given"], refusal.data["current"]), (str(given), "3"))
    state = await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 3)
    same("last_seq and acked_seq", (state.last_seq, state.acked_seq), (2, 0))


@TABLE.check("old-epoch")
async def old_epoch(case: Case) -> None:
    """After a migration the epoch of before is refused at the destination too."""
    name = case.name()
    await opened(case.a, name, 2)
    await moved(case, name, case.a, case.b)
    await refused(case.b.append(name, 3, payloads(3, 1), 1), "an append at the epoch of before", "STALE_EPOCH")
    await refused(case.b.ack(name, 1, 1), "an ack at the epoch of before", "STALE_EPOCH")
    await refused(case.b.pause(name, case.migration(2), 1), "a pause at the epoch of before", "STALE_EPOCH")
    same("last_seq", await append(case.b, name, 3, 1, epoch=2), 3)


@TABLE.check("tombstone")
async def tombstone(case: Case) -> None:
    """The source redirects after the drain, however often it is asked."""
    name = case.name()
    await opened(case.a, name, 2)
    await moved(case, name, case.a, case.b)
    for _ in range(2):
        refusal = await refused(case.a.append(name, 3, payloads(3, 1)), "an append at the old shard", "MOVED")
        same("the redirect", (refusal.data["shard_id"], refusal.data["epoch"]), (case.b.shard_id, "2"))
        await refused(case.a.poll([name]), "a poll of the old shard", "MOVED")


@TABLE.check("open-after")
async def open_after(case: Case) -> None:
    """An order param that has moved away cannot be opened anew where it was."""
    name = case.name()
    await opened(case.a, name, 2)
    await moved(case, name, case.a, case.b)
    await refused(case.a.open(name, 1), "Open where it has moved away", "MOVED")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_SEALED, 2)


@TABLE.check("mapping-forward")
async def mapping_forward(case: Case) -> None:
    """UpdateMapping moves a tombstone's redirect forward, and never back."""
    name = case.name()
    await opened(case.a, name, 1)
    await moved(case, name, case.a, case.b)
    await case.a.update_mapping(name, case.a, 1)
    await _redirects_to(case, name, case.b.shard_id, "2")
    await case.a.update_mapping(name, case.b, 5)
    await _redirects_to(case, name, case.b.shard_id, "5")


@TABLE.check("mapping-at-owner")
async def mapping_at_owner(case: Case) -> None:
    """UpdateMapping to somebody else is refused by the shard that owns it."""
    name = case.name()
    await opened(case.a, name, 1)
    await refused(case.a.update_mapping(name, case.b, 2), "UpdateMapping at the owner", "MIGRATION_CONFLICT")
    same("last_seq", await append(case.a, name, 2, 1), 2)


@TABLE.check("owner-imports")
async def owner_imports(case: Case) -> None:
    """An order param cannot be imported by the shard that owns it."""
    name = case.name()
    await opened(case.a, name, 2)
    await opened(case.b, name, 1)
    await refused(case.b.copy(name, case.migration(), case.a), "a copy onto an owner", "MIGRATION_CONFLICT")
    await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 1)
    await take_exactly(case.b, name, 1, 1)


@TABLE.check("old-copy")
async def old_copy(case: Case) -> None:
    """A copy of an epoch that is over is refused by a shard that knows better."""
    name = case.name()
    await case.b.open(name, 5)
    await append(case.b, name, 1, 2, epoch=5)
    await moved(case, name, case.b, case.a, epoch=5)
    await refused(case.b.copy(name, case.migration(2), case.a, epoch=4), "a copy of epoch 4 after 6", "STALE_EPOCH")
    await refused(case.b.begin(name, case.migration(2), 4), "Begin at epoch 4 after 6", "STALE_EPOCH")
    await state_is(case.b, name, pb.OWNERSHIP_STATE_SEALED, 6)


@TABLE.check("resume-by-another")
async def resume_by_another(case: Case) -> None:
    """Resume by another migration than the one that imports is refused."""
    name = case.name()
    await opened(case.a, name, 2)
    await case.b.copy(name, case.migration(1), case.a)
    forged = pb.SealRecord(order_param=name, migration_id=case.migration(2), epoch=2, final_seq=2)
    await refused(case.b.resume(name, case.migration(2), forged), "Resume by another migration", "MIGRATION_CONFLICT")
    await state_is(case.b, name, pb.OWNERSHIP_STATE_IMPORTING, 2)


async def _redirects_to(case: Case, name: str, shard_id: str, epoch: str) -> None:
    refusal = await refused(case.a.append(name, 9, payloads(9, 1)), "an append at the old shard", "MOVED")
    same("the redirect", (refusal.data["shard_id"], refusal.data["epoch"]), (shard_id, epoch))
