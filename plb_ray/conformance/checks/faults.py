"""Group "faults": a shard is killed and restarted at each step's boundary, by the operator's command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import (
    append,
    chained,
    copied_and_sealed,
    eventually,
    finished,
    moved,
    opened,
    payloads,
    state_is,
    take_exactly,
)
from plb_ray.conformance.outcome import same
from plb_ray.conformance.registry import ONE, TWO, Needs, Table
from plb_ray.conformance.status import Refusal, refused
from plb_ray.conformance.traffic import Traffic
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("faults", TWO | Needs.RESTART)


@TABLE.check("acknowledged-stays", ONE | Needs.RESTART)
async def acknowledged_stays(case: Case) -> None:
    """What was acknowledged to a producer or by a consumer survives a kill, and so does the dedupe table."""
    name = case.name()
    await opened(case.a, name, 6)
    await take_exactly(case.a, name, 1, 4)
    await case.a.ack(name, 2)
    await case.restart(case.a)
    state = await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 1)
    same("last_seq and acked_seq", (state.last_seq, state.acked_seq), (6, 2))
    again = await case.a.append(name, 4, payloads(4, 3))
    same("a repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (6, True))
    await take_exactly(case.a, name, 3, 6, redeliver=True)


@TABLE.check("paused-source")
async def paused_source(case: Case) -> None:
    """A source killed while paused serves again within its lease; if it forgot the pause, a late seal is refused."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 2)
    await case.b.copy(name, migration, case.a)
    await case.a.pause(name, migration, lease_ms=3000)
    await case.restart(case.a)
    state = await case.a.state(name)
    if state.state == pb.OWNERSHIP_STATE_ACTIVE:
        await refused(case.a.seal(name, migration, case.b), "a seal after the pause was forgotten", "LEASE_EXPIRED")

    async def serves() -> bool:
        return await append(case.a, name, 3, 1) == 3

    await eventually(serves, "the source was killed while paused and takes no appends", 4.0)


@TABLE.check("sealed-source")
async def sealed_source(case: Case) -> None:
    """A source killed after the seal remembers it: same record, redirect, and the migration is finished."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 2)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    await case.restart(case.a)
    same("the seal's record after the restart", await case.a.seal(name, migration, case.b), sealed)
    await refused(case.a.append(name, 6, payloads(6, 1)), "an append at the sealed source", "MOVED")
    await finished(case, name, case.a, case.b, sealed)
    await take_exactly(case.b, name, 3, 5, redeliver=True)


@TABLE.check("sealed-source-heals")
async def sealed_source_heals(case: Case) -> None:
    """A source killed after a seal that nobody follows up resumes the destination when it is back."""
    name = case.name()
    await opened(case.a, name, 5)
    await copied_and_sealed(case, name, case.a, case.b)
    await case.restart(case.a)

    async def serves() -> bool:
        return (await case.b.state(name)).state == pb.OWNERSHIP_STATE_ACTIVE

    await eventually(serves, "the source was restarted after the seal, and the destination was not resumed")
    await take_exactly(case.b, name, 1, 5)


@TABLE.check("importing-destination")
async def importing_destination(case: Case) -> None:
    """A destination killed during the import, even after the seal, is completed by another copy, and resumes."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 250)
    await case.b.copy(name, migration, case.a)
    await case.restart(case.b)
    sealed = await copied_and_sealed(case, name, case.a, case.b)
    await case.restart(case.b)

    async def resumed() -> bool:
        await case.b.copy(name, migration, case.a)
        await finished(case, name, case.a, case.b, sealed)
        return True

    try:
        await resumed()
    except Refusal:  # the source may have resumed it meanwhile
        await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    await take_exactly(case.b, name, 1, 250, redeliver=True)


@TABLE.check("serving-destination")
async def serving_destination(case: Case) -> None:
    """A destination killed after Resume serves on: epoch, sequence, cursor and dedupe table are durable."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 2)
    await case.a.ack(name, 2)
    await moved(case, name, case.a, case.b)
    await case.restart(case.b)
    state = await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    same("last_seq and acked_seq", (state.last_seq, state.acked_seq), (5, 2))
    again = await case.b.append(name, 1, payloads(1, 5), epoch=2)
    same("a repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (5, True))
    await take_exactly(case.b, name, 3, 5)


@TABLE.check("tombstone")
async def tombstone(case: Case) -> None:
    """A tombstone survives a kill."""
    name = case.name()
    await opened(case.a, name, 2)
    await moved(case, name, case.a, case.b)
    await case.restart(case.a)
    refusal = await refused(case.a.append(name, 3, payloads(3, 1)), "an append at the old shard", "MOVED")
    same("the redirect", (refusal.data["shard_id"], refusal.data["epoch"]), (case.b.shard_id, "2"))


@TABLE.check("chained-source")
async def chained_source(case: Case) -> None:
    """A segment that stayed survives a kill: it is consumed, and then the destination goes on."""
    name = case.name()
    await opened(case.a, name, 4)
    await chained(case, name, case.a, case.b)
    await append(case.b, name, 5, 2, epoch=2)
    await case.restart(case.a)
    await take_exactly(case.a, name, 1, 4)
    await case.a.ack(name, 4, epoch=1)
    await _front(case, name)
    await take_exactly(case.b, name, 5, 6)


@TABLE.check("chained-destination")
async def chained_destination(case: Case) -> None:
    """A destination that is behind is still so after a kill, and is told when its turn has come."""
    name = case.name()
    await opened(case.a, name, 2)
    await chained(case, name, case.a, case.b)
    await append(case.b, name, 3, 2, epoch=2)
    await case.restart(case.b)
    state = await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    same("behind, and last_seq", (state.behind, state.last_seq), (True, 4))
    await take_exactly(case.a, name, 1, 2)
    await case.a.ack(name, 2, epoch=1)
    await _front(case, name)
    await take_exactly(case.b, name, 3, 4)


@TABLE.check("under-traffic")
async def under_traffic(case: Case) -> None:
    """Kills of either shard between migrations of both kinds lose, double and reorder nothing."""
    name, (source, destination) = case.name(), (case.a, case.b)
    await source.open(name)
    async with Traffic(name, (source, destination)).running() as traffic:
        for number, (migrate, killed) in enumerate(((moved, case.a), (chained, case.b), (chained, case.a)), start=1):
            await migrate(case, name, source, destination, epoch=number, number=number)
            await traffic.more(10)
            await case.restart(killed)
            await traffic.more(10)
            source, destination = destination, source


async def _front(case: Case, name: str) -> None:
    async def told() -> bool:
        return not (await case.b.state(name)).behind

    await eventually(told, "the segment before is consumed, and the destination was not told so")
