"""Shards that break a rule of chained migrations."""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

from plb_ray.errors import StaleEpochError
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.conformance.broken_moves import resume_with
from tests.conformance.broken_ownership import state_of
from tests.conformance.kit import broken


@broken("chain", fails="chain/moves chain/order chain/read-ahead chain/nack chain/and-back chain/advance")
def segment_skipped(control, data):
    """The destination delivers at once, whatever waits on the source."""

    async def at_the_front(sealed):
        sealed.behind, sealed.after_epoch, sealed.after_endpoint = False, 0, ""

    resume_with(control, at_the_front)


@broken("chain/moves", "chain/order", "chain/no-backlog", "chain/dedupe-moves", fails="chain/moves chain/order")
def segment_lost(control, data):
    """A chained seal drops the backlog."""
    seal = control.Seal

    async def Seal(request, context):
        if request.chained:
            state = await state_of(control, request.order_param)
            await data.Poll(pb.PollRequest(consumer="thief", order_params=[request.order_param]), context)
            await data.Ack(
                pb.AckRequest(
                    order_param=request.order_param, epoch=request.epoch, up_to_seq=state.last_seq, consumer="thief"
                ),
                context,
            )
        return await seal(request, context)

    control.Seal = Seal


@broken("chain", fails="chain/order chain/and-back chain/advance")
def never_told_to_go_on(control, data):
    """What is behind stays behind, whatever it is told and whatever it asks."""

    async def advance(order_param, *_):
        return control._shard.record(order_param)

    control._shard.advance = advance


@broken("chain", fails="chain/read-ahead chain/new-holder")
def no_reading_ahead(control, data):
    poll = data.Poll

    async def Poll(request, context):
        del request.holds[:]
        return await poll(request, context)

    data.Poll = Poll


@broken(
    "chain/moves",
    "chain/order",
    "chain/in-flight",
    "chain/segment-ends",
    "chain/no-backlog",
    fails="chain/order chain/in-flight chain/segment-ends",
)
def segments_not_acknowledged(control, data):
    """Acks of an epoch that is over are refused, as before there were chains."""
    ack = data.Ack

    async def Ack(request, context):
        state = await state_of(control, request.order_param)
        if state.epoch != request.epoch:
            raise StaleEpochError(request.order_param, request.epoch, state.epoch)
        return await ack(request, context)

    data.Ack = Ack


TABLE = (segment_skipped, segment_lost, never_told_to_go_on, no_reading_ahead, segments_not_acknowledged)
