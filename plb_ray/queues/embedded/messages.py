"""Messages and arguments at the gRPC border: limits checked, protobuf turned into what operations take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from plb_ray.errors import BadInputError
from plb_ray.queues.embedded.blocks import MAX_NAME_BYTES, MAX_SEQ, Block
from plb_ray.queues.embedded.holding import MAX_HOLD_NO
from plb_ray.queues.embedded.operations import Append
from plb_ray.rpc import convert
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plb_ray.migration.ports import SealRecord
    from plb_ray.queues.embedded.blocks import StoredMessage
    from plb_ray.queues.embedded.slices import Slice

MAX_CHUNK = 500


def name_of(order_param: str) -> str:
    """Return a valid order param. Raises BadInputError."""
    return _name("an order param", order_param)


def consumer_of(consumer: str) -> str:
    """Return a valid consumer name. Raises BadInputError."""
    return _name("a consumer", consumer)


def acker_of(request: Any) -> str:
    """Return the consumer that acknowledges; empty if it does not tell. Raises BadInputError."""
    return consumer_of(request.consumer) if request.consumer else ""


def holds_of(request: Any) -> dict[str, int]:
    """Return the holds that a PollRequest shows: order param -> number. Raises BadInputError."""
    for hold in request.holds:
        if hold.hold_no > MAX_HOLD_NO:
            raise BadInputError(f"hold_no of {hold.order_param!r} is {hold.hold_no}; the most is {MAX_HOLD_NO}")
    return {name_of(hold.order_param): hold.hold_no for hold in request.holds}


def seal_of(request: Any) -> tuple[SealRecord, list[Block]]:
    """Return the seal of a ResumeRequest, and the tail that came with it.

    Raises:
        BadInputError: it contradicts itself, is not of this order param, or its tail is malformed.
    """
    seal = convert.seal_from_pb(bounded(request).sealed)
    wrong = {
        f"it is of {seal.order_param!r}": seal.order_param != request.order_param,
        f"it is of migration {seal.migration_id!r}": seal.migration_id != request.migration_id,
        f"epoch is {seal.epoch}": seal.epoch < 2,
        "acked_seq or delivered_seq is after final_seq": max(seal.acked_seq, seal.delivered_seq) > seal.final_seq,
        f"behind is {seal.behind}, after_epoch is {seal.after_epoch}": seal.behind != (0 < seal.after_epoch < seal.epoch),
        f"hold_no is {seal.hold_no}": seal.hold_no > MAX_HOLD_NO,
        "the holder's name is too long": len(seal.holder.encode()) > MAX_NAME_BYTES,
    }
    tail = _blocks(seal.tail)
    if tail and tail[-1].last_seq != seal.final_seq:
        wrong[f"its tail ends with {tail[-1].last_seq}, not with {seal.final_seq}"] = True
    for what, holds in wrong.items():
        if holds:
            raise BadInputError(f"the seal for {request.order_param!r} is not a seal's: {what}")
    return seal, tail


def chunk_of(asked: int, default: int) -> int:
    """Return how many messages a chunk may have: small ones keep the shard responsive."""
    return min(asked, MAX_CHUNK) or default


def bounded(request: Any) -> Any:
    """Return a request whose numbers can all be stored: SQLite's end at 2^63. Raises BadInputError."""
    for field, value in request.ListFields():
        for one in value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,):
            if isinstance(one, int) and abs(one) > MAX_SEQ:
                raise BadInputError(f"{field.name} is {one}; the most is {MAX_SEQ}")
            if isinstance(one, Message):
                bounded(one)
    return request


def append_of(request: Any) -> Append:
    """Return the operation of an AppendRequest. Raises BadInputError."""
    where = f"an append to {name_of(request.order_param)!r}"
    if not request.payloads or request.first_producer_seq < 1 or request.first_producer_seq > MAX_SEQ:
        raise BadInputError(f"{where} needs payloads, and a first_producer_seq of 1 or more")
    largest = max(map(len, request.payloads))
    if largest > MAX_PAYLOAD_BYTES:
        raise BadInputError(f"{where} has a payload of {largest} bytes; the most is {MAX_PAYLOAD_BYTES}")
    producer = _name("a producer", request.producer)
    return Append(request.epoch, producer, request.first_producer_seq, tuple(request.payloads))


def blocks_of(chunk: Any) -> list[Block]:
    """Return the blocks of a MessageChunk or ImportChunk.

    Raises:
        BadInputError: one is malformed, or they do not follow one another.
    """
    return _blocks(chunk.blocks)


def _blocks(stored: Iterable[bytes]) -> list[Block]:
    blocks = [Block.parse(data) for data in stored]
    for before, block in pairwise(blocks):
        if block.first_seq != before.last_seq + 1:
            raise BadInputError(f"a block from {block.first_seq} on cannot follow one that ends with {before.last_seq}")
    return blocks


def chunk_to_pb(blocks: Iterable[Block], last_seq: int, acked_seq: int) -> pb.MessageChunk:
    """Return a chunk of an export; the numbers are those of the source at the time of the call."""
    return pb.MessageChunk(blocks=[block.data for block in blocks], last_seq=last_seq, acked_seq=acked_seq)


def message_to_pb(message: StoredMessage) -> pb.Message:
    """Return a stored message as it travels."""
    return pb.Message(
        seq=message.seq,
        producer=message.producer,
        producer_seq=message.producer_seq,
        payload=message.payload,
        appended_s=message.appended_s,
    )


def batch_to_pb(part: Slice, found: list[StoredMessage]) -> pb.DeliveredBatch:
    """Return one order param's share of a poll's answer."""
    return pb.DeliveredBatch(
        order_param=part.order_param,
        epoch=part.epoch,
        messages=map(message_to_pb, found),
        hold_no=part.hold_no,
        behind=part.behind,
        followed=part.followed,
        acked_seq=part.acked_seq,
    )


def _name(what: str, name: str) -> str:
    if not name or len(name.encode()) > MAX_NAME_BYTES:
        raise BadInputError(f"{what} needs a name of 1 to {MAX_NAME_BYTES} bytes")
    return name
