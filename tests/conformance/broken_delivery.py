"""Shards that break a rule of the data plane: dedupe, order, holders, negative acknowledgements."""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

from plb_ray.errors import NotTheHolderError, SequenceGapError
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.conformance.kit import broken


@broken("append", fails="append/dedupe")
def duplicates_stored_again(control, data):
    append = data.Append

    async def Append(request, context):
        answer = await append(request, context)
        if answer.duplicate:
            request.producer, request.first_producer_seq = f"{request.producer} again", 1
            answer = await append(request, context)
        return answer

    data.Append = Append


@broken("append", fails="append/gap")
def gaps_accepted(control, data):
    append = data.Append

    async def Append(request, context):
        try:
            return await append(request, context)
        except SequenceGapError:
            request.producer, request.first_producer_seq = f"{request.producer} gap", 1
            return await append(request, context)

    data.Append = Append


@broken("deliver", fails="deliver/redeliver deliver/ack")
def redelivery_forgotten(control, data):
    poll = data.Poll

    async def Poll(request, context):
        request.redeliver = False
        return await poll(request, context)

    data.Poll = Poll


@broken("append", "deliver/in-order", "deliver/max-messages", "deliver/ack", fails="deliver/max-messages")
def max_messages_ignored(control, data):
    poll = data.Poll

    async def Poll(request, context):
        request.max_messages = 0
        return await poll(request, context)

    data.Poll = Poll


@broken(
    "append",
    "deliver/in-order",
    "deliver/wait",
    fails="append/sequences append/dedupe-part append/at-once deliver/in-order",
)
def delivers_in_reverse(control, data):
    poll = data.Poll

    async def Poll(request, context):
        answer = await poll(request, context)
        for batch in answer.batches:
            backwards = list(batch.messages)[::-1]
            del batch.messages[:]
            batch.messages.extend(backwards)
        return answer

    data.Poll = Poll


@broken("deliver", fails="deliver/old-holder")
def old_holder_not_fenced(control, data):
    ack = data.Ack

    async def Ack(request, context):
        try:
            return await ack(request, context)
        except NotTheHolderError as error:
            request.consumer = error.holder
            return await ack(request, context)

    data.Ack = Ack


@broken("deliver", "copy/in-flight-again", fails="deliver/take-over copy/in-flight-again")
def hold_no_stands_still(control, data):
    poll = data.Poll

    async def Poll(request, context):
        answer = await poll(request, context)
        for batch in answer.batches:
            batch.hold_no = 1
        return answer

    data.Poll = Poll


@broken("deliver", fails="deliver/nack deliver/nack-delay")
def nack_gives_the_message_up(control, data):
    async def Nack(request, context):
        ack = pb.AckRequest(
            order_param=request.order_param, epoch=request.epoch, up_to_seq=request.seq, consumer=request.consumer
        )
        return await data.Ack(ack, context)

    data.Nack = Nack


@broken("deliver", fails="deliver/nack-delay")
def nack_without_delay(control, data):
    nack = data.Nack

    async def Nack(request, context):
        request.delay_ms = 0
        return await nack(request, context)

    data.Nack = Nack


TABLE = (
    duplicates_stored_again,
    gaps_accepted,
    redelivery_forgotten,
    max_messages_ignored,
    delivers_in_reverse,
    old_holder_not_fenced,
    hold_no_stands_still,
    nack_gives_the_message_up,
    nack_without_delay,
)
