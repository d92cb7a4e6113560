"""Messages and arguments at the gRPC border: limits checked, protobuf turned into what operations take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from plb_ray.errors import BadInputError
from plb_ray.queues.embedded.operations import Append, StoredMessage
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.queues.embedded.delivery import Slice

MAX_NAME_BYTES = 512
MAX_CHUNK = 500
MAX_SEQ = 2**60


def name_of(order_param: str) -> str:
    """Return a valid order param. Raises BadInputError."""
    return _name("an order param", order_param)


def consumer_of(consumer: str) -> str:
    """Return a valid consumer name. Raises BadInputError."""
    return _name("a consumer", consumer)


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


def message_from_pb(message: Any) -> StoredMessage:
    """Return a message as it is stored."""
    return StoredMessage(message.seq, message.producer, message.producer_seq, message.payload, message.appended_s)


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
    return pb.DeliveredBatch(order_param=part.order_param, epoch=part.epoch, messages=map(message_to_pb, found))


def _name(what: str, name: str) -> str:
    if not name or len(name.encode()) > MAX_NAME_BYTES:
        raise BadInputError(f"{what} needs a name of 1 to {MAX_NAME_BYTES} bytes")
    return name
