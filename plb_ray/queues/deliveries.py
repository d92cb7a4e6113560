"""What a consumer is given and how much of it it keeps: values that polling, reassembly and dispatch pass to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


SHARDS_AT_ONCE = 4  # that deliver one order param ahead of sequence, in the common case


class Delivered(NamedTuple):
    """One message as the handler gets it. `appended_s`: wall time at the shard that took it."""

    order_param: str
    seq: int
    producer: str
    producer_seq: int
    payload: bytes
    appended_s: float
    shard_id: str


class Source(NamedTuple):
    """A segment on a shard: where to acknowledge what it has delivered."""

    endpoint: str
    epoch: int


@dataclass(frozen=True)
class Batch:
    """A delivery, in order and without gaps. The other fields are as in queue.proto; `lease_no` as of its poll."""

    source: Source
    messages: Sequence[Delivered]
    lease_no: int = 1
    hold_no: int = 0
    behind: bool = False
    followed: bool = False
    acked_seq: int = 0

    @property
    def leads(self) -> bool:
        """It begins its segment's unacknowledged part: nothing of that is in flight elsewhere, or lost on its way."""
        return self.messages[0].seq <= self.acked_seq + 1


@dataclass(frozen=True)
class Bounds:
    """How much a consumer keeps that is not handed over yet: payload bytes and messages, per order param and in total.

    What one line needs to go on is taken beyond them: one batch per order param at most.

    Attributes:
        line_messages, line_bytes: of one order param. Read-ahead over k shards needs about k segments of it.
        total_messages, total_bytes: of all.
    """

    line_messages: int = 20_000
    line_bytes: int = 16 << 20
    total_messages: int = 200_000
    total_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        if min(self.line_messages, self.line_bytes, self.total_messages, self.total_bytes) < 1:
            raise ValueError("bounds are 1 or more")


@dataclass
class Amount:
    """So many messages of so many payload bytes."""

    messages: int = 0
    payload_bytes: int = 0

    def add(self, messages: int, payload_bytes: int) -> None:
        """Add; negative numbers take away."""
        self.messages += messages
        self.payload_bytes += payload_bytes


@dataclass
class Pool:
    """What all lines keep together, and the counts of what they saw.

    Attributes:
        kept: by all lines.
        lines: how many keep something.
        message_bytes: payload bytes of a message, from the large batches of late.
        repetitions: messages that came again after they were handled.
        gaps: batches refused because something is missing before them.
        jumps: gaps that were right.
        overflows: batches refused for want of room.
    """

    bounds: Bounds = field(default_factory=Bounds)
    kept: Amount = field(default_factory=Amount)
    repetitions: int = 0
    gaps: int = 0
    jumps: int = 0
    overflows: int = 0
    lines: int = 0
    message_bytes: float = 1.0

    def arrived(self, batch: Batch) -> int:
        """Note how large messages are; return the batch's payload bytes."""
        size = sum(len(message.payload) for message in batch.messages)
        self.message_bytes = max(size / len(batch.messages), 0.99 * self.message_bytes, 1.0)
        return size

    def window(self) -> int:
        """Return how many messages of one order param a shard should have in flight, so that they find room here."""
        bounds, lines = self.bounds, max(1, self.lines)
        of_line = min(bounds.line_messages, bounds.line_bytes / self.message_bytes) / SHARDS_AT_ONCE
        of_all = min(bounds.total_messages, bounds.total_bytes / self.message_bytes) / lines
        return max(1, int(min(of_line, of_all)))

    def has_room(self, line: Amount) -> bool:
        """Say whether a line that keeps this much may keep more."""
        bounds, kept = self.bounds, self.kept
        return (
            line.messages < bounds.line_messages
            and line.payload_bytes < bounds.line_bytes
            and kept.messages < bounds.total_messages
            and kept.payload_bytes < bounds.total_bytes
        )


class Offer(Enum):
    """What became of a batch."""

    KEPT = "kept"
    REPEATED = "repeated"  # all of it was handled before: acknowledge again
    GAP = "gap"  # refused: ask its shard for redelivery
    FULL = "full"  # refused for want of room: see `Line.refused`
    STALE = "stale"  # refused, as it is from before a change of the holder: the same
    RETURNED = "returned"  # refused: a nack of this source is on its way
