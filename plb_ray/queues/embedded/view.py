"""What is committed, as the event loop sees it: records, and for each order param an index of its waiting messages."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from plb_ray.domain.load import OrderParamLoad
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.ownership import OWNED, Record, settled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plb_ray.queues.embedded.writer import Committed

COMPACT_AFTER = 4096  # dropped entries before the arrays are shortened


class SeqIndex:
    """Times and sizes of the messages after `base_seq`, in 16 bytes each.

    `_bytes_upto[i]` is the payload size of all messages added up to entry i, so that the backlog's size is a difference.
    """

    def __init__(self, base_seq: int) -> None:
        self.base_seq = base_seq
        self._skip = 0  # entries at the front that are dropped but still there
        self._appended_s = array("d")
        self._bytes_upto = array("q")
        self._bytes_dropped = 0

    @property
    def last_seq(self) -> int:
        """Sequence of the newest message."""
        return self.base_seq + len(self._appended_s) - self._skip

    @property
    def bytes(self) -> int:
        """Payload bytes of the messages that are not dropped."""
        return (self._bytes_upto[-1] if self._bytes_upto else self._bytes_dropped) - self._bytes_dropped

    def add(self, messages: Iterable[tuple[float, int]]) -> None:
        """Append (appended_s, payload bytes) of the next messages."""
        total = self._bytes_upto[-1] if self._bytes_upto else self._bytes_dropped
        for appended_s, size in messages:
            total += size
            self._appended_s.append(appended_s)
            self._bytes_upto.append(total)

    def drop_until(self, seq: int) -> None:
        """Forget messages up to `seq`, which becomes the base even where there is no such message."""
        count = min(seq, self.last_seq) - self.base_seq
        if count > 0:
            self._skip += count
            self._bytes_dropped = self._bytes_upto[self._skip - 1]
        self.base_seq = max(self.base_seq, seq)
        if self._skip >= COMPACT_AFTER or self._skip == len(self._appended_s):
            del self._appended_s[: self._skip]
            del self._bytes_upto[: self._skip]
            self._skip = 0

    def appended_s(self, seq: int) -> float:
        """Return when a message that is not dropped was appended."""
        return self._appended_s[self._place(seq)]

    def size(self, seq: int) -> int:
        """Return the payload bytes of a message that is not dropped."""
        place = self._place(seq)
        return self._bytes_upto[place] - (self._bytes_upto[place - 1] if place else self._bytes_dropped)

    def _place(self, seq: int) -> int:
        assert self.base_seq < seq <= self.last_seq
        return seq - self.base_seq - 1 + self._skip


class Line:
    """One order param as committed, and how far it is delivered.

    Attributes:
        delivered_seq: acked_seq < seq <= delivered_seq are in flight.
        consumer: who holds the messages in flight; empty if it is not known (they were delivered by another shard).
        deadline_s: when the oldest message in flight counts as lost, monotonic.
        hold_until_seq: nothing newer is delivered before everything up to here is acknowledged or given up.
        sealing: seals under way; until their outcome is known nothing more is delivered, so that the cursor they take along
            stays true.
        head_seq, watched: what `delivery` has on its heaps of this line.
    """

    __slots__ = (
        "consumer",
        "deadline_s",
        "delivered_seq",
        "head_seq",
        "hold_until_seq",
        "index",
        "record",
        "sealing",
        "slot",
        "watched",
    )

    def __init__(self, slot: int, record: Record) -> None:
        self.slot = slot
        self.record = record
        self.index = SeqIndex(record.acked_seq)
        self.delivered_seq = record.acked_seq
        self.consumer = ""
        self.deadline_s = 0.0
        self.hold_until_seq = 0
        self.head_seq = 0
        self.watched = False
        self.sealing = 0

    @property
    def owned(self) -> bool:
        """This shard serves it."""
        return self.record.ownership in OWNED

    @property
    def in_flight(self) -> int:
        """Messages delivered and not acknowledged."""
        return max(0, self.delivered_seq - self.record.acked_seq)

    @property
    def waiting(self) -> int:
        """Messages that may be delivered now."""
        if not self.owned or self.sealing or self.hold_until_seq > self.record.acked_seq:
            return 0
        return self.record.last_seq - self.delivered_seq

    def load(self, now_s: float) -> OrderParamLoad:
        """Return the counters; `now_s` is wall time."""
        record = self.record
        backlog = record.last_seq - record.acked_seq
        oldest_s = self.index.appended_s(record.acked_seq + 1) if backlog else now_s
        return OrderParamLoad(
            order_param=record.order_param,
            epoch=record.epoch,
            messages_total=record.last_seq,
            bytes_total=record.bytes_total,
            consumed_total=record.acked_seq,
            backlog=backlog,
            backlog_bytes=self.index.bytes,
            oldest_age_s=max(0.0, now_s - oldest_s),
        )


class View:
    """All order params that the shard has a record of."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def record(self, order_param: str, now_s: float) -> Record:
        """Return the record at monotonic `now_s`; NONE for an order param never heard of."""
        line = self.lines.get(order_param)
        return Record(order_param) if line is None else settled(line.record, now_s)

    def apply(self, news: Committed) -> Line:
        """Take over one operation's outcome; return the line."""
        name = news.record.order_param
        line = self.lines.get(name)
        if line is None or news.wiped:
            line = self.lines[name] = Line(news.slot, news.record)
        line.record = news.record
        line.index.drop_until(news.record.acked_seq)
        line.index.add(news.added)
        if news.record.ownership is Ownership.SEALED:
            line.index = SeqIndex(news.record.last_seq)  # nothing of it is served here any more
        line.delivered_seq = max(line.delivered_seq, news.record.acked_seq)
        return line
