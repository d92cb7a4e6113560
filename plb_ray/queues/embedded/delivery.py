"""Which message is served next, and to whom: oldest first over the whole shard, at the shard's service rate.

Rules, per order param:
- messages are handed out in order, each once, and are in flight until acknowledged (cumulatively);
- while some are in flight, only their consumer gets more, so that one consumer at a time works on an order param. Another
  consumer takes over when the ack timeout has passed, or at once if it names the order param in its poll;
- what is in flight is handed out again after the ack timeout, after a restart, and to a consumer that asks for redelivery;
- nothing is handed out while a seal is under way, so that the destination is told of everything in flight;
- an order param that has just moved here with messages in flight waits for their acks, `HANDOVER_S` at most.

A heap holds (time of the first waiting message, name, sequence) per order param. Entries are never removed when they become
stale: one that does not name its line's next message is dropped when it surfaces. Cost per message: O(log K).
"""

from __future__ import annotations

import heapq
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from plb_ray.errors import UnknownOrderParamError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import ownership
from plb_ray.queues.embedded.ownership import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.queues.embedded.tokens import TokenBucket
    from plb_ray.queues.embedded.view import Line, View
    from plb_ray.queues.embedded.writer import Committed

HANDOVER_S = 1.0
Head = tuple[float, str, int]  # appended_s, order param, sequence


class Slice(NamedTuple):
    """A run of one order param's messages, first and last included."""

    order_param: str
    epoch: int
    slot: int
    first_seq: int
    last_seq: int


class Limits(NamedTuple):
    """What one poll may take at most."""

    messages: int
    payload_bytes: int


class Delivery:
    """Hands out messages of the lines of a `View`. Single-threaded; times are monotonic seconds passed in."""

    def __init__(self, view: View, bucket: TokenBucket, ack_timeout_s: float) -> None:
        self._view = view
        self._bucket = bucket
        self._ack_timeout_s = ack_timeout_s
        self._heads: list[Head] = []
        self._deadlines: list[tuple[float, str]] = []
        self._rest_until_s = 0.0

    def committed(self, news: Committed, now_s: float) -> None:
        """Take over one operation's outcome."""
        name = news.record.order_param
        known = self._view.lines.get(name)
        before = Record(name) if known is None else known.record
        line = self._view.apply(news)
        if news.record.ownership is Ownership.NONE:
            del self._view.lines[name]
            return
        if before.ownership is Ownership.IMPORTING and line.owned:
            self._hand_over(line, now_s)
        elif news.record.acked_seq > before.acked_seq:
            self._acknowledged(line, now_s)
        self._push(line)

    def take(self, consumer: str, names: Sequence[str], limits: Limits, now_s: float) -> list[Slice]:
        """Return the next messages for a consumer, in flight from now on; empty if there are none or no tokens.

        Args:
            consumer: who asks.
            names: only these order params; none: all that the shard owns.
            limits: of this poll.
            now_s: monotonic time.

        Raises:
            UnknownOrderParamError, MovedError, PausedError: about the first named order param that is not served here.
        """
        self._expire(now_s)
        heads = self._named_heads(consumer, names) if names else self._heads
        if now_s < self._rest_until_s:
            return []
        budget = min(limits.messages, self._bucket.available(now_s))
        if budget < 1:
            self._rest_until_s = now_s + self._bucket.wait_s(limits.messages, now_s)
            return []
        slices = self._collect(consumer, heads, Limits(int(budget), limits.payload_bytes), now_s)
        for name in names:
            self._push(self._view.lines[name])
        self._bucket.take(sum(part.last_seq - part.first_seq + 1 for part in slices), now_s)
        return slices

    def wait_s(self, now_s: float) -> float:
        """Return after how long `take` may answer otherwise although nothing is committed meanwhile."""
        wake_s = self._deadlines[0][0] if self._deadlines else inf
        if now_s < self._rest_until_s:
            wake_s = min(wake_s, self._rest_until_s)
        return max(0.0, wake_s - now_s)

    def hold(self, order_param: str) -> tuple[int, Callable[[], None]]:
        """Deliver nothing more of an order param; return its delivered sequence, and what ends the hold."""
        line = self._view.lines.get(order_param)
        if line is None:
            return 0, lambda: None
        line.sealing += 1
        return line.delivered_seq, lambda: self._release(line)

    def _release(self, line: Line) -> None:
        line.sealing -= 1
        if self._view.lines.get(line.record.order_param) is line:
            self._push(line)

    def redeliver(self, consumer: str) -> None:
        """Take back everything that a consumer has in flight."""
        for line in self._view.lines.values():
            if line.in_flight and line.consumer == consumer:
                self._take_back(line)

    def give_back(self, slices: Sequence[Slice]) -> None:
        """Undo a `take` that did not reach its consumer."""
        for part in slices:
            line = self._view.lines.get(part.order_param)
            if line is not None and line.slot == part.slot:
                line.delivered_seq = max(line.record.acked_seq, min(line.delivered_seq, part.first_seq - 1))
                self._push(line)

    def _collect(self, consumer: str, heads: list[Head], limits: Limits, now_s: float) -> list[Slice]:
        """Take the oldest messages off `heads` within the limits."""
        runs: dict[str, tuple[int, int]] = {}
        skipped: list[Head] = []
        messages, payload_bytes = 0, 0
        while heads and messages < limits.messages and payload_bytes < limits.payload_bytes:
            head = heapq.heappop(heads)
            line = self._line_of(head, heads)
            if line is None:
                continue
            if line.in_flight and line.consumer != consumer:
                skipped.append(head)
                continue
            messages, payload_bytes = messages + 1, payload_bytes + line.index.size(head[2])
            runs[head[1]] = (runs.get(head[1], (head[2], 0))[0], head[2])
            self._hand_out(line, consumer, now_s)
            self._push(line, heads)
        self._put_back(skipped, heads)
        lines = self._view.lines
        return [Slice(name, lines[name].record.epoch, lines[name].slot, *run) for name, run in runs.items()]

    def _line_of(self, head: Head, heads: list[Head]) -> Line | None:
        """Return the line whose next message a head names; None if the head is stale."""
        line = self._view.lines.get(head[1])
        if line is None:
            return None
        if heads is self._heads and line.head_seq == head[2]:
            line.head_seq = 0
        return line if line.waiting and line.delivered_seq + 1 == head[2] else None

    def _put_back(self, skipped: list[Head], heads: list[Head]) -> None:
        for head in skipped:
            self._push(self._view.lines[head[1]], heads)

    def _hand_out(self, line: Line, consumer: str, now_s: float) -> None:
        if not line.in_flight:
            line.consumer = consumer
            self._set_deadline(line, now_s + self._ack_timeout_s)
        line.delivered_seq += 1

    def _named_heads(self, consumer: str, names: Sequence[str]) -> list[Head]:
        """Return a heap of the named order params alone; naming one takes it over from another consumer."""
        heads: list[Head] = []
        for name in names:
            line = self._view.lines.get(name)
            if line is None:
                raise UnknownOrderParamError(name)
            ownership.require(line.record, line.record.epoch, append=False)
            if line.in_flight and line.consumer not in ("", consumer):
                self._take_back(line)
            self._push(line, heads)
        return heads

    def _push(self, line: Line, heads: list[Head] | None = None) -> None:
        """Put a line's next message on a heap (the shard's, if none is given), unless it is there."""
        seq = line.delivered_seq + 1
        if line.waiting <= 0:
            return
        head = (line.index.appended_s(seq), line.record.order_param, seq)
        if heads is not None and heads is not self._heads:
            heapq.heappush(heads, head)
        elif line.head_seq != seq:
            line.head_seq = seq
            heapq.heappush(self._heads, head)

    def _hand_over(self, line: Line, now_s: float) -> None:
        """Begin to serve an order param that has moved here; see the rules."""
        line.delivered_seq = max(line.record.acked_seq, min(line.record.delivered_seq, line.record.last_seq))
        if line.in_flight:
            line.consumer, line.hold_until_seq = "", line.delivered_seq
            self._set_deadline(line, now_s + HANDOVER_S)

    def _acknowledged(self, line: Line, now_s: float) -> None:
        if line.in_flight:
            line.deadline_s = max(line.deadline_s, now_s + self._ack_timeout_s if line.consumer else 0.0)
        else:
            line.consumer, line.hold_until_seq = "", 0

    def _take_back(self, line: Line) -> None:
        line.delivered_seq = line.record.acked_seq
        line.consumer, line.hold_until_seq = "", 0
        self._push(line)

    def _set_deadline(self, line: Line, deadline_s: float) -> None:
        line.deadline_s = deadline_s
        if not line.watched:
            line.watched = True
            heapq.heappush(self._deadlines, (deadline_s, line.record.order_param))

    def _expire(self, now_s: float) -> None:
        """Take back what is in flight for too long. A deadline that has moved on meanwhile is looked at again then."""
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, name = heapq.heappop(self._deadlines)
            line = self._view.lines.get(name)
            if line is None:
                continue
            line.watched = False
            if line.in_flight and line.deadline_s > now_s:
                self._set_deadline(line, line.deadline_s)
            elif line.in_flight and line.owned:
                self._take_back(line)
