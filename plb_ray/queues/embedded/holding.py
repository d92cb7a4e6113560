"""What deliveries leave in a record: who holds the order param, and what came back. Operations as in `operations`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError
from plb_ray.queues.embedded import ownership
from plb_ray.queues.embedded.operations import Effect

if TYPE_CHECKING:
    from plb_ray.queues.embedded.operations import Entry, Now

MAX_HOLD_NO = 1 << 62  # above any wall time in microseconds, and far enough from the end of what can be stored


@dataclass(frozen=True)
class Hold:
    """Note who holds an order param. On disk before anything is delivered to a new holder.

    So a shard that starts again knows who may be at work on what it had delivered. Answers nothing.
    """

    epoch: int
    holder: str
    hold_no: int

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        record = ownership.settled(entry.record, now.mono_s)
        ownership.require(record, self.epoch, append=False)
        if self.hold_no < record.hold_no:
            return Effect(None, record)
        return Effect(None, replace(record, holder=self.holder, hold_no=self.hold_no))


@dataclass(frozen=True)
class Nack:
    """A message could not be handled: what is before it is acknowledged. Answers the acknowledged sequence.

    It may lie before a segment's first message: then all that is in flight of it is given back, and none acknowledged.
    """

    epoch: int
    seq: int

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        record = ownership.settled(entry.record, now.mono_s)
        ownership.require(record, self.epoch, append=False)
        if not 1 <= self.seq <= record.last_seq:
            name = record.order_param
            raise BadInputError(f"cannot give back {self.seq} of {name!r}: it has messages 1 to {record.last_seq}")
        acked_seq = max(record.acked_seq, self.seq - 1)
        return Effect(acked_seq, replace(record, acked_seq=acked_seq))
