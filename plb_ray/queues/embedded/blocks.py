"""Messages in blocks: runs of one order param's messages, by column, as they are stored, copied and indexed.

A block is written once and never changed. It is stored and sent as the serialised protobuf `Block`, so that a copy from
shard to shard touches no single message. See queue.proto for the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from plb_ray.errors import BadInputError
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_SEQ = 2**60
MAX_NAME_BYTES = 512


@dataclass(frozen=True)
class StoredMessage:
    """One message as it is stored."""

    seq: int
    producer: str
    producer_seq: int
    payload: bytes
    appended_s: float


class Block:
    """At least one message; sequences `first_seq` to `last_seq` without gaps.

    Made by one of the class methods. Blocks with the same messages may differ in `data`: a column of equal values can be
    written in two ways.
    """

    __slots__ = ("_columns", "_data", "_sizes")

    def __init__(self, columns: Any, data: bytes | None = None) -> None:
        self._columns = columns
        self._data = data
        self._sizes: Sequence[int] | None = None

    @classmethod
    def appended(
        cls, first_seq: int, producer: str, first_producer_seq: int, payloads: Sequence[bytes], appended_s: float
    ) -> Block:
        """Return what one append stores: messages of one producer and one time."""
        return cls(
            pb.Block(
                first_seq=first_seq,
                producers=(producer,),
                producer_seqs=(first_producer_seq,),
                appended_s=(appended_s,),
                sizes=map(len, payloads),
                payloads=b"".join(payloads),
            )
        )

    @classmethod
    def of(cls, messages: Sequence[StoredMessage]) -> Block:
        """Return these messages as a block; they follow one another without gaps."""
        first = messages[0]
        assert [message.seq for message in messages] == list(range(first.seq, first.seq + len(messages)))
        columns = _Columns(first.seq)
        columns.add(
            [message.producer for message in messages],
            [message.producer_seq for message in messages],
            [message.appended_s for message in messages],
            [len(message.payload) for message in messages],
            b"".join(message.payload for message in messages),
        )
        return cls(columns.message())

    @classmethod
    def join(cls, blocks: Sequence[Block]) -> Block:
        """Return one block with the messages of several, each of which begins where the one before ends."""
        if len(blocks) == 1:
            return blocks[0]
        columns = _Columns(blocks[0].first_seq)
        for block in blocks:
            assert block.first_seq == columns.next_seq
            columns.add(block.producers, block.producer_seqs, block.appended_s, block.sizes, block.payloads)
        return cls(columns.message())

    @classmethod
    def parse(cls, data: bytes) -> Block:
        """Return the block that a peer has sent.

        Raises:
            BadInputError: it is malformed, or has numbers or names that this shard would not have accepted.
        """
        try:
            block = cls.stored(data)
        except DecodeError:
            raise BadInputError("a block of messages is no serialised Block") from None
        block.check()
        return block

    @classmethod
    def stored(cls, data: bytes) -> Block:
        """Return a block read back from this shard's own disk; it is not checked again."""
        return cls(pb.Block.FromString(data), data)

    @property
    def data(self) -> bytes:
        """The serialised protobuf `Block`."""
        if self._data is None:
            self._data = self._columns.SerializeToString()
        return self._data

    @property
    def first_seq(self) -> int:
        """Sequence of the first message."""
        return int(self._columns.first_seq)

    @property
    def last_seq(self) -> int:
        """Sequence of the last message."""
        return int(self._columns.first_seq) + len(self._columns.sizes) - 1

    @property
    def sizes(self) -> Sequence[int]:
        """Payload bytes, one per message."""
        if self._sizes is None:
            self._sizes = list(self._columns.sizes)
        return self._sizes

    @property
    def appended_s(self) -> Sequence[float]:
        """Wall times of the appends, one per message."""
        column = self._columns.appended_s
        return list(column) * len(self) if len(column) == 1 else list(column)

    @property
    def payloads(self) -> bytes:
        """All payloads, one after the other."""
        return bytes(self._columns.payloads)

    @property
    def payload_bytes(self) -> int:
        """Sum of the payloads' sizes."""
        return len(self._columns.payloads)

    def __len__(self) -> int:
        return len(self._columns.sizes)

    def messages(self, first_seq: int = 0, last_seq: int = MAX_SEQ) -> list[StoredMessage]:
        """Return the messages with these sequences, both included."""
        first, last = max(first_seq, self.first_seq), min(last_seq, self.last_seq)
        if first > last:
            return []
        places = slice(first - self.first_seq, last - self.first_seq + 1)
        ends = list(accumulate(self.sizes))[places]
        starts = map(int.__sub__, ends, self.sizes[places])
        payloads = self.payloads
        columns = zip(
            range(first, last + 1),
            self.producers[places],
            self.producer_seqs[places],
            [payloads[start:end] for start, end in zip(starts, ends, strict=True)],
            self.appended_s[places],
            strict=True,
        )
        return [StoredMessage(*values) for values in columns]

    def part(self, first_seq: int, last_seq: int) -> Block:
        """Return the block of the messages with these sequences, both included; at least one must be there."""
        first, last = max(first_seq, self.first_seq), min(last_seq, self.last_seq)
        assert first <= last
        if (first, last) == (self.first_seq, self.last_seq):
            return self
        start, end = first - self.first_seq, last - self.first_seq + 1
        skipped = sum(self.sizes[:start])
        sizes = self.sizes[start:end]
        columns = _Columns(first)
        columns.add(
            self.producers[start:end],
            self.producer_seqs[start:end],
            self.appended_s[start:end],
            sizes,
            self.payloads[skipped : skipped + sum(sizes)],
        )
        return Block(columns.message())

    def cut(self, most_messages: int, most_bytes: int) -> Iterator[Block]:
        """Yield the block in pieces of at most so many messages and payload bytes, but of one message at least."""
        first, size = self.first_seq, 0
        for seq, one in enumerate(self.sizes, self.first_seq):
            if seq > first and (seq - first >= most_messages or size + one > most_bytes):
                yield self.part(first, seq - 1)
                first, size = seq, 0
            size += one
        yield self.part(first, self.last_seq)

    @property
    def producers(self) -> Sequence[str]:
        """Names, one per message."""
        names = list(self._columns.producers)
        if len(names) == 1:
            return names * len(self)
        return [names[place] for place in self._columns.producer]

    @property
    def producer_seqs(self) -> Sequence[int]:
        """The producers' own numbers, one per message."""
        column = self._columns.producer_seqs
        return range(column[0], column[0] + len(self)) if len(column) == 1 else list(column)

    def check(self) -> None:
        """Raise BadInputError unless every message has its values, and values that could have been appended here."""
        columns, count = self._columns, len(self)
        names = list(columns.producers)
        reason = ""
        if not count or not 1 <= columns.first_seq <= MAX_SEQ - count:
            reason = f"{count} messages from sequence {columns.first_seq} on"
        elif sum(self.sizes) != self.payload_bytes or max(self.sizes) > MAX_PAYLOAD_BYTES:
            reason = f"sizes that are not those of its {self.payload_bytes} payload bytes, or above {MAX_PAYLOAD_BYTES}"
        elif len(set(names)) != len(names) or not all(1 <= len(name.encode()) <= MAX_NAME_BYTES for name in names):
            reason = f"producers' names twice, or not of 1 to {MAX_NAME_BYTES} bytes"
        elif not _fits(columns.producer, count, one=len(names)) or max(columns.producer, default=0) >= len(names):
            reason = f"{len(columns.producer)} messages of {len(names)} producers instead of {count}"
        elif not _numbers(columns.producer_seqs, count):
            reason = "producers' numbers missing or out of range"
        elif not _fits(columns.appended_s, count, one=len(columns.appended_s)) or not all(map(isfinite, columns.appended_s)):
            reason = "times missing or not finite"
        if reason:
            raise BadInputError(f"a block of messages has {reason}")


class _Columns:
    """Collects columns and writes them as short as they can be."""

    def __init__(self, first_seq: int) -> None:
        self.first_seq = self.next_seq = first_seq
        self._places: dict[str, int] = {}
        self._producer: list[int] = []
        self._producer_seqs: list[int] = []
        self._appended_s: list[float] = []
        self._sizes: list[int] = []
        self._payloads: list[bytes] = []

    def add(
        self,
        producers: Sequence[str],
        producer_seqs: Sequence[int],
        appended_s: Sequence[float],
        sizes: Sequence[int],
        payloads: bytes,
    ) -> None:
        """Append messages."""
        places = self._places
        self._producer.extend([places.setdefault(name, len(places)) for name in producers])
        self._producer_seqs.extend(producer_seqs)
        self._appended_s.extend(appended_s)
        self._sizes.extend(sizes)
        self._payloads.append(payloads)
        self.next_seq += len(sizes)

    def message(self) -> pb.Block:
        """Return the protobuf message."""
        count, start = len(self._sizes), self._producer_seqs[0]
        contiguous = self._producer_seqs == list(range(start, start + count))
        one_time = self._appended_s.count(self._appended_s[0]) == count
        return pb.Block(
            first_seq=self.first_seq,
            producers=self._places,
            producer=self._producer if len(self._places) > 1 else (),
            producer_seqs=(start,) if contiguous else self._producer_seqs,
            appended_s=self._appended_s[:1] if one_time else self._appended_s,
            sizes=self._sizes,
            payloads=b"".join(self._payloads),
        )


def _fits(column: Sequence[Any], count: int, *, one: int) -> bool:
    """Whether a column has a value per message, or is left out or single where one value holds for all (`one` == 1)."""
    return len(column) == count or (one == 1 and len(column) <= 1)


def _numbers(column: Sequence[int], count: int) -> bool:
    if len(column) not in {1, count}:
        return False
    return min(column) >= 1 and max(column) + (count if len(column) == 1 else 0) <= MAX_SEQ
