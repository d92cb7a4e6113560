"""Group "copy": a migration by copy, and all that moves with an order param."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import (
    append,
    copied_and_sealed,
    finished,
    moved,
    opened,
    payloads,
    state_is,
    take_exactly,
)
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.status import refused, refused_somehow, retryable
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("copy", TWO)


@TABLE.check("five-steps")
async def five_steps(case: Case) -> None:
    """The five steps move an order param with its backlog, in order, and it goes on there."""
    name = case.name()
    await opened(case.a, name, 250)
    sealed = await moved(case, name, case.a, case.b)
    same("the seal's epoch and final_seq", (sealed.epoch, sealed.final_seq), (2, 250))
    state = await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    same("last_seq on the destination", state.last_seq, 250)
    same("last_seq after one more", await append(case.b, name, 251, 1, epoch=2), 251)
    got = await take_exactly(case.b, name, 1, 251)
    same("payloads", [message.payload for message in got], payloads(1, 251))
    same("epochs", {message.epoch for message in got}, {2})


@TABLE.check("while-writing")
async def while_writing(case: Case) -> None:
    """What is appended during the copy is copied by its repeat, and by it alone."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 20)
    first = (await case.b.copy(name, migration, case.a))[-1]
    same("the first copy's last_seq and messages", (first.last_seq, first.messages), (20, 20))
    require(first.bytes >= 20, f"it reports {first.bytes} bytes for 20 messages")
    await append(case.a, name, 21, 5)
    second = (await case.b.copy(name, migration, case.a))[-1]
    same("the second copy's last_seq and messages", (second.last_seq, second.messages), (25, 5))
    same("last_seq at the source, which serves", await append(case.a, name, 26, 1), 26)


@TABLE.check("empty")
async def empty(case: Case) -> None:
    """An order param without messages moves too."""
    name = case.name()
    await opened(case.a, name)
    sealed = await moved(case, name, case.a, case.b)
    same("final_seq", sealed.final_seq, 0)
    same("last_seq after one append there", await append(case.b, name, 1, 1, epoch=2), 1)


@TABLE.check("dedupe-moves")
async def dedupe_moves(case: Case) -> None:
    """The producers' dedupe table moves: a repeat at the destination is a duplicate."""
    name = case.name()
    await opened(case.a, name, 3)
    await append(case.a, name, 1, 2, producer="q")
    sealed = await moved(case, name, case.a, case.b)
    found = {known.producer: (known.producer_seq, known.seq) for known in sealed.producers}
    same("the seal's producers", found, {"p": (3, 3), "q": (2, 5)})
    again = await case.b.append(name, 1, payloads(1, 3), epoch=2)
    same("the repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (3, True))
    mixed = await case.b.append(name, 2, payloads(2, 2, "q"), epoch=2, producer="q")
    same("last_seq and duplicate of a part that is new", (mixed.last_seq, mixed.duplicate), (6, False))


@TABLE.check("dedupe-of-consumed")
async def dedupe_of_consumed(case: Case) -> None:
    """The dedupe table moves for messages too that are consumed and were never copied."""
    name = case.name()
    await opened(case.a, name, 3)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 3)
    await moved(case, name, case.a, case.b)
    again = await case.b.append(name, 1, payloads(1, 3), epoch=2)
    same("the repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (3, True))
    same("last_seq after a new one", await append(case.b, name, 4, 1, epoch=2), 4)


@TABLE.check("cursor-moves")
async def cursor_moves(case: Case) -> None:
    """The cursor moves: what was acknowledged at the source is not delivered again."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 6)
    await case.b.copy(name, migration, case.a)
    await take_exactly(case.a, name, 1, 4)
    await case.a.ack(name, 4)
    sealed = await moved(case, name, case.a, case.b)
    same("the seal's acked_seq", sealed.acked_seq, 4)
    same("acked_seq on the destination", (await case.b.state(name)).acked_seq, 4)
    await take_exactly(case.b, name, 5, 6)


@TABLE.check("in-flight-moves")
async def in_flight_moves(case: Case) -> None:
    """Messages in flight stay so: their holder goes on after them and acknowledges them there."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 3)
    sealed = await moved(case, name, case.a, case.b)
    same("the seal's acked_seq and delivered_seq", (sealed.acked_seq, sealed.delivered_seq), (0, 3))
    await take_exactly(case.b, name, 4, 5)
    same("acked_seq of what the source had delivered", await case.b.ack(name, 3, epoch=2), 3)
    same("acked_seq at the end", await case.b.ack(name, 5, epoch=2), 5)


@TABLE.check("in-flight-again")
async def in_flight_again(case: Case) -> None:
    """Messages in flight are not lost with their consumer: the next one gets them first."""
    name = case.name()
    await opened(case.a, name, 5)
    before = await take_exactly(case.a, name, 1, 3, "c1")
    await moved(case, name, case.a, case.b)
    after = await take_exactly(case.b, name, 1, 5, "c2")
    require(after[0].hold_no > before[0].hold_no, f"hold_no went from {before[0].hold_no} to {after[0].hold_no}")


@TABLE.check("holder-moves")
async def holder_moves(case: Case) -> None:
    """The seal tells the holder, it stays the holder under the same hold_no, and loses it to another as anywhere else."""
    name = case.name()
    await opened(case.a, name, 3)
    held = await take_exactly(case.a, name, 1, 2, "c1")
    sealed = await moved(case, name, case.a, case.b)
    same("the seal's holder and hold_no", (sealed.holder, sealed.hold_no), ("c1", held[0].hold_no))
    got = await take_exactly(case.b, name, 3, 3, "c1")
    same("hold_no at the destination", got[0].hold_no, held[0].hold_no)
    await take_exactly(case.b, name, 1, 3, "c2")
    await refused(case.b.ack(name, 3, 2, "c1"), "an ack by the holder that moved here and lost it", "NOT_THE_HOLDER")


@TABLE.check("incomplete")
async def incomplete(case: Case) -> None:
    """A destination that lacks messages does not resume; after another copy it does."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 10)
    await case.b.copy(name, migration, case.a)
    await append(case.a, name, 11, 5)
    await case.a.pause(name, migration)
    sealed = await case.a.seal(name, migration, case.b)
    await refused_somehow(case.b.resume(name, migration, sealed), "Resume of a copy without its tail", retryable)
    await case.b.copy(name, migration, case.a)
    await finished(case, name, case.a, case.b, sealed)
    await take_exactly(case.b, name, 1, 15)


@TABLE.check("resume-again")
async def resume_again(case: Case) -> None:
    """Resume is idempotent, and a late repeat takes nothing back."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 3)
    sealed = await moved(case, name, case.a, case.b)
    await append(case.b, name, 4, 2, epoch=2)
    await take_exactly(case.b, name, 1, 5)
    await case.b.ack(name, 5, epoch=2)
    await case.b.resume(name, migration, sealed)
    state = await state_is(case.b, name, pb.OWNERSHIP_STATE_ACTIVE, 2)
    same("last_seq and acked_seq after the repeat", (state.last_seq, state.acked_seq), (5, 5))


@TABLE.check("copy-again")
async def copy_again(case: Case) -> None:
    """A new migration's copy forgets what an older one left."""
    name = case.name()
    await opened(case.a, name, 4)
    await case.b.copy(name, case.migration(1), case.a)
    await take_exactly(case.a, name, 1, 4)
    await case.a.ack(name, 4)
    await append(case.a, name, 5, 2)
    sealed = await copied_and_sealed(case, name, case.a, case.b, number=2)
    await finished(case, name, case.a, case.b, sealed, number=2)
    await take_exactly(case.b, name, 5, 6)
