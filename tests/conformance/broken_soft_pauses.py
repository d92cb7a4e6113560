"""Shards whose soft pause, or the tail of its seal, is not what it says."""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

from plb_ray.errors import PausedError
from plb_ray.queues.embedded.blocks import Block
from tests.conformance.broken_moves import resume_with
from tests.conformance.broken_ownership import state_of
from tests.conformance.kit import broken


@broken("soft-pause/means-it", "soft-pause/tail", fails="soft-pause/means-it soft-pause/tail")
def says_soft_and_refuses(control, data):
    """Appends are refused although the pause is said to be soft."""
    append = data.Append

    async def Append(request, context):
        if (await state_of(control, request.order_param)).soft:
            raise PausedError(request.order_param)
        return await append(request, context)

    data.Append = Append


@broken("soft-pause/means-it", "pause/refuses-appends", fails="pause/refuses-appends soft-pause/means-it")
def every_pause_is_soft(control, data):
    """Appends go on during each pause."""
    pause = control.Pause

    async def Pause(request, context):
        request.soft = True
        return await pause(request, context)

    control.Pause = Pause


@broken("soft-pause", fails="soft-pause/tail soft-pause/tail-with-a-gap")
def tail_without_its_end(control, data):
    """The seal gives out its tail without the last message."""
    seal = control.Seal

    async def Seal(request, context):
        sealed = await seal(request, context)
        blocks = [Block.parse(stored) for stored in sealed.tail]
        del sealed.tail[:]
        shorter = [block.part(block.first_seq, block.last_seq - 1) for block in blocks if len(block) > 1]
        sealed.tail.extend(block.data for block in shorter)
        return sealed

    control.Seal = Seal


@broken("soft-pause", "copy/incomplete", fails="soft-pause/tail-with-a-gap")
def gap_before_the_tail_is_ignored(control, data):
    """Resume takes a tail for proof that all before it is here."""

    async def as_if_acknowledged(sealed):
        if sealed.tail:
            [first, *_] = [Block.parse(stored) for stored in sealed.tail]
            state = await state_of(control, sealed.order_param)
            if first.first_seq > state.last_seq + 1:
                sealed.acked_seq = sealed.delivered_seq = first.first_seq - 1

    resume_with(control, as_if_acknowledged)


TABLE = (says_soft_and_refuses, every_pause_is_soft, tail_without_its_end, gap_before_the_tail_is_ignored)
