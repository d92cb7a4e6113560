"""What is committed, as the event loop sees it: records, and for each order param an index of its waiting messages."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

from plb_ray.domain.load import OrderParamLoad
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.blocks import MAX_SEQ
from plb_ray.queues.embedded.ownership import OWNED, Record, settled
from plb_ray.queues.embedded.sealing import has_ended, segment_of

if TYPE_CHECKING:
    from plb_ray.migration.ports import SegmentState
    from plb_ray.queues.embedded.blocks import Block
    from plb_ray.queues.embedded.ledger import Committed, Key

COMPACT_AFTER = 4096  # dropped entries before the arrays are shortened
READ_AHEAD = 2000  # messages in flight of a segment that is behind; the consumer keeps them in memory


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

    def add(self, block: Block) -> None:
        """Append the next messages."""
        total = self._bytes_upto[-1] if self._bytes_upto else self._bytes_dropped
        self._appended_s.extend(block.appended_s)
        self._bytes_upto.extend(list(accumulate(block.sizes, initial=total))[1:])

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
    """One order param, or one trailing segment of it, as committed, and how far it is delivered.

    Attributes:
        key: (order param, segment).
        delivered_seq: acked_seq < seq <= delivered_seq are in flight.
        holder: who holds the order param, as far as this shard knows; empty: nobody.
        last_holder: who was the last one to; `hold_no` is its number, which rises with each change.
        held_until_seq: the holder may be at work on messages up to here, though they are not in flight: the shard has
            started again since it delivered them, or the holder has asked for them again.
        not_before_s: nothing is delivered until then (a negative acknowledgement asked for it), monotonic.
        sealing: seals under way; until their outcome is known nothing more is delivered, so that the cursor they take along
            stays true.
        near: of the segments that are behind, it is near enough to its turn to be read ahead.
        head_seq: what `delivery` has on its heap of this line.
    """

    __slots__ = (
        "delivered_seq",
        "head_seq",
        "held_until_seq",
        "hold_no",
        "holder",
        "index",
        "key",
        "last_holder",
        "near",
        "not_before_s",
        "record",
        "sealing",
        "slot",
    )

    def __init__(self, key: Key, slot: int, record: Record) -> None:
        self.key = key
        self.slot = slot
        self.record = record
        self.index = SeqIndex(record.acked_seq)
        self.delivered_seq = record.acked_seq
        self.holder = self.last_holder = ""
        self.hold_no = self.held_until_seq = 0
        self.near = False
        self.not_before_s = 0.0
        self.head_seq = 0
        self.sealing = 0

    @property
    def owned(self) -> bool:
        """This shard takes its appends."""
        return self.record.ownership in OWNED

    @property
    def trailing(self) -> bool:
        """It is a trailing segment: later messages are on other shards, or in another segment here."""
        return self.record.ownership is Ownership.TRAILING

    @property
    def served(self) -> bool:
        """This shard delivers its messages."""
        return self.owned or self.trailing

    @property
    def behind(self) -> bool:
        """It is served here, and earlier messages elsewhere are not consumed."""
        return self.served and self.record.behind

    @property
    def in_flight(self) -> int:
        """Messages delivered and not acknowledged."""
        return max(0, self.delivered_seq - self.record.acked_seq)

    @property
    def held(self) -> bool:
        """Only the holder may have more of it.

        With one segment a holder keeps it while messages are in flight, so that consumers share the order params. A chain
        stays with its holder: what it has read ahead on other shards would have to be delivered again.
        """
        if not self.holder or not self.served:
            return False
        at_work = max(self.delivered_seq, self.held_until_seq) > self.record.acked_seq
        return at_work or self.trailing or self.behind

    @property
    def waiting(self) -> int:
        """Messages that may be delivered now to somebody."""
        record = self.record
        if not self.served or self.sealing or (record.behind and not (self.holder and self.near)):
            return 0
        last_seq = record.last_seq
        if record.behind:
            last_seq = min(last_seq, record.acked_seq + READ_AHEAD)
        return last_seq - self.delivered_seq

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
    """All order params and trailing segments that the shard has a record of, by (order param, segment)."""

    def __init__(self) -> None:
        self.lines: dict[Key, Line] = {}
        self._segments: dict[str, dict[int, Line]] = {}
        self._dutiful: dict[str, None] = {}
        self._moved_up: set[str] = set()  # order params of which other segments may be near now

    def record(self, order_param: str, now_s: float) -> Record:
        """Return the order param's own record at monotonic `now_s`; NONE if it was never heard of."""
        line = self.lines.get((order_param, 0))
        return Record(order_param) if line is None else settled(line.record, now_s)

    def names(self) -> tuple[str, ...]:
        """Return every order param, each once."""
        return tuple(self._segments)

    def of(self, order_param: str) -> tuple[Line, ...]:
        """Return an order param's trailing segments in order, then its own line."""
        found = self._segments.get(order_param, {})
        return tuple(found[segment] for segment in sorted(found, key=lambda segment: segment or MAX_SEQ))

    def segments(self, order_param: str) -> tuple[SegmentState, ...]:
        """Return the trailing segments of an order param that have not ended."""
        trailing = (line.record for line in self.of(order_param) if line.trailing)
        return tuple(segment_of(record) for record in trailing if not has_ended(record))

    def line(self, order_param: str, epoch: int) -> Line | None:
        """Return the line of an epoch: a trailing segment, or else the order param's own."""
        return self.lines.get((order_param, epoch)) or self.lines.get((order_param, 0))

    @property
    def has_duties(self) -> bool:
        """Whether `herald` may have something to do."""
        return bool(self._dutiful)

    def with_duties(self) -> tuple[str, ...]:
        """Return the order params that `herald` may have something to do for."""
        return tuple(self._dutiful)

    def brought_near(self, order_param: str) -> list[Line]:
        """Let the first two segments that are behind be read ahead; return those that were not near before."""
        if order_param not in self._moved_up:
            return []
        self._moved_up.discard(order_param)
        near = [line for line in self.of(order_param) if line.behind][:2]
        new = [line for line in near if not line.near]
        for line in new:
            line.near = True
        return new

    def apply(self, news: Committed) -> Line:
        """Take over one operation's outcome; return the line."""
        key = (news.record.order_param, news.segment)
        line = self.lines.get(key)
        if line is None or news.wiped:
            line = self._put(key, self._taken_over(news) or Line(key, news.slot, news.record))
        was_behind = line.behind
        line.record = news.record
        if was_behind or line.behind:
            self._moved_up.add(key[0])
        line.index.drop_until(news.record.acked_seq)
        for block in news.added:
            line.index.add(block)
        if news.record.ownership is Ownership.SEALED:
            line.index = SeqIndex(news.record.last_seq)  # nothing of it is served here any more
        line.delivered_seq = max(line.delivered_seq, news.record.acked_seq)
        self._note_duties(key[0])
        return line

    def remove(self, line: Line) -> None:
        """Forget a line."""
        name, segment = line.key
        del self.lines[line.key]
        del self._segments[name][segment]
        if not self._segments[name]:
            del self._segments[name]
        self._note_duties(name)

    def _note_duties(self, order_param: str) -> None:
        lines = self._segments.get(order_param, {}).values()
        if any(line.trailing or line.behind or not line.record.handed_over for line in lines):
            self._dutiful[order_param] = None
        else:
            self._dutiful.pop(order_param, None)

    def _put(self, key: Key, line: Line) -> Line:
        self.lines[key] = self._segments.setdefault(key[0], {})[key[1]] = line
        return line

    def _taken_over(self, news: Committed) -> Line | None:
        """Return the order param's own line, if it has just become this trailing segment: index and cursor stay with it."""
        line = self.lines.get((news.record.order_param, 0))
        if not news.segment or line is None or line.slot != news.slot:
            return None
        line.key = (news.record.order_param, news.segment)
        line.head_seq = 0
        return line
